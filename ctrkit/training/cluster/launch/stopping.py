"""End the processes of a cluster: a word to the chief, then to all, then by force."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from ctrkit.errors import ConfigError
from ctrkit.training.cluster.launch.role_process import RoleProcess
from ctrkit.training.cluster.launch.roles import CHIEF

KILL_WITHIN = 10.0  # Seconds; only a process that hangs inside the kernel takes longer to die of SIGKILL.


@dataclass(frozen=True, kw_only=True)
class Grace:
    """Seconds that processes get to end in order."""

    finish: float = 60.0  # For the others, once the chief ended well.
    checkpoint: float = 30.0  # For the chief, to end its step and write a checkpoint.
    terminate: float = 10.0  # For all, after SIGTERM and before SIGKILL.

    def __post_init__(self) -> None:
        for name in ("finish", "checkpoint", "terminate"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"cluster.grace.{name}: got {getattr(self, name)}, expected seconds, 0 or more.")


def stop(
    processes: Iterable[RoleProcess],
    grace: Grace,
    *,
    checkpoint: bool,
    hurry: Callable[[], bool],
    wait: Callable[[], None],
) -> None:
    """End all `processes`; `wait` passes a moment, `hurry` says whether to go straight to SIGKILL."""
    every = list(processes)
    kin = _descendants(_running(every))  # To be looked up now: who has lost its parent is nobody's descendant.
    chief = [process for process in every if process.role == CHIEF]
    steps = [(chief, signal.SIGINT, grace.checkpoint)] if checkpoint else []
    steps.append((every, signal.SIGTERM, grace.terminate))
    for addressed, number, seconds in steps:
        for process in _running(addressed):
            # Only the chief itself: what it started would die before the checkpoint is written.
            process.signal(number, group=number != signal.SIGINT)
        await_end(addressed, seconds, hurry=hurry, wait=wait)
    for process in every:
        process.signal(signal.SIGKILL, group=True)
    for descendant in kin:  # Those that left the group as well.
        with contextlib.suppress(psutil.Error):
            descendant.kill()
    await_end(every, KILL_WITHIN, hurry=lambda: False, wait=wait)
    for process in every:
        process.clear()


def await_end(
    processes: Iterable[RoleProcess], seconds: float, *, hurry: Callable[[], bool], wait: Callable[[], None]
) -> None:
    """Wait until all have ended, but no longer than `seconds`."""
    until = time.monotonic() + seconds
    every = list(processes)
    while _running(every) and time.monotonic() < until and not hurry():
        wait()


def _running(processes: Iterable[RoleProcess]) -> list[RoleProcess]:
    return [process for process in processes if process.pid is not None]


def _descendants(processes: Iterable[RoleProcess]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found += psutil.Process(process.pid).children(recursive=True)
    return found
