"""Find and kill whatever still runs of one cluster, also what left its process group."""

from __future__ import annotations

import contextlib
import time

import psutil

MARK = "CTRKIT_CLUSTER"  # Every role, and all that it starts, carries the cluster's token in this variable.
LOOK_AGAIN = 0.1  # Seconds: a process that was being started while we looked shows up the next time.


def leftovers(token: str) -> list[psutil.Process]:
    """Live processes that carry the token, and their descendants (which may have dropped it)."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == token and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process
                found.update((child.pid, child) for child in process.children(recursive=True))
    return list(found.values())


def kill_leftovers(token: str, *, within: float = 10.0) -> list[psutil.Process]:
    """SIGKILL them all until two looks in a row find none; returns those that outlived `within` seconds."""
    until = time.monotonic() + within
    clean = 0
    while clean < 2:
        for process in leftovers(token):  # Stopped, they start nothing between our look and the kill.
            with contextlib.suppress(psutil.Error):
                process.suspend()
        left = leftovers(token)
        if left and time.monotonic() > until:
            return left
        clean = 0 if left else clean + 1
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(LOOK_AGAIN)
    return []
