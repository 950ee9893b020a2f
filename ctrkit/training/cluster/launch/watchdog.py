"""A small process that outlives the launcher: when that dies without cleaning up, this kills the cluster."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.launch.leftovers import kill_leftovers

LOOK_EVERY = 0.2  # Seconds between two looks whether the launcher is still our parent.
READY, DONE = b"r", b"d"


@contextlib.contextmanager
def watchdog(token: str) -> Iterator[None]:
    """Guard the processes that carry `token` until the block ends, by whatever way this process goes.

    A death signal asked of the kernel (`PR_SET_PDEATHSIG`) would not reach grandchildren, would come when the thread
    ends that started a role, and would need code between fork and exec, which is not safe beside gRPC's threads.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "ctrkit.training.cluster.launch.watchdog", token, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C and a signal to the launcher's group are not for it.
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.read(1) != READY:  # No role starts unguarded.
            raise TrainingError(f"The cluster's watchdog did not start: exit status {process.wait()}.")
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(DONE)
            process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def main() -> None:
    """Wait for the word that all is done; kill the cluster if the launcher goes without it."""
    token, parent = sys.argv[1], int(sys.argv[2])
    os.write(sys.stdout.fileno(), READY)
    while os.getppid() == parent:
        # Both are watched: a pipe stays open when a fork of the launcher holds its end.
        if select.select([sys.stdin], [], [], LOOK_EVERY)[0]:
            if os.read(sys.stdin.fileno(), 1) == DONE:
                return
            break
    kill_leftovers(token)


if __name__ == "__main__":
    main()
