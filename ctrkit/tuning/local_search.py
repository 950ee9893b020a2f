"""A parallel search on this machine: a chief and workers as processes, none of which outlives this one."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.launch.leftovers import MARK, kill_leftovers
from ctrkit.training.cluster.launch.ports import accepts, reserved_ports
from ctrkit.training.cluster.launch.role_process import RoleProcess
from ctrkit.training.cluster.launch.stop_signal import StopSignals, stop_signals
from ctrkit.training.cluster.launch.stopping import Grace, stop
from ctrkit.training.cluster.launch.watchdog import watchdog
from ctrkit.tuning.roles import CHIEF, environment

LOOK_EVERY = 0.5  # Seconds.
STARTS = 4  # Of one worker; a trial that kills its process every time must not be started for ever.
GRACE = Grace(checkpoint=0.0, terminate=30.0)  # A worker that is told to end writes a checkpoint first.
LAST_WORDS = 15.0  # Seconds for workers to end once the chief did.
TAIL = 12  # Lines of a failed process's log to show.


class LocalSearch:
    """`command` as keras-tuner's chief and as workers, told by the environment which they are.

    Args:
        folder: gets `logs/<role>.log`.
        env: on top of this process's environment.
        look: called twice a second, to show how far they are.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workers: int,
        folder: Path,
        env: dict[str, str] | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._command, self._workers, self._logs = list(command), workers, Path(folder) / "logs"
        self._env, self._look = dict(env or {}), look
        self._processes: list[RoleProcess] = []
        self._starts: dict[str, int] = {}
        self.lost: list[str] = []  # How workers ended that were started again.

    def run(self) -> None:
        """Start all and return when the last trial has ended.

        Raises:
            TrainingError: the chief failed, or a worker did time and again; with the end of its log.
            KeyboardInterrupt: on SIGINT, SIGTERM or SIGHUP; workers write checkpoints first.
        Either way no process is left.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        token, wake = uuid.uuid4().hex, threading.Event()
        with contextlib.ExitStack() as held:
            signals = held.enter_context(stop_signals(wake))
            held.enter_context(watchdog(token))
            (port,) = held.enter_context(reserved_ports(1))
            held.callback(kill_leftovers, token)
            for role in (CHIEF, *(f"tuner{number}" for number in range(self._workers))):
                env = {**os.environ, **_threads(self._workers), **self._env, **environment(role, port), MARK: token}
                self._processes.append(RoleProcess(role, self._command, env, self._logs / f"{role}.log", wake))
            with self._stopped_at_the_end(signals, wake):
                self._start(self._processes[0])
                self._await_chief(port, signals, wake)
                for worker in self._processes[1:]:
                    self._start(worker)
                while self._go_on(signals):
                    self._look()
                    wake.wait(LOOK_EVERY)
                    wake.clear()
        self._look()

    def pids(self) -> dict[str, int]:
        """Role -> number of its process, of those that run now."""
        return {process.role: process.pid for process in self._processes if process.pid is not None}

    def _start(self, process: RoleProcess) -> None:
        self._starts[process.role] = self._starts.get(process.role, 0) + 1
        process.start(f"{process.role}, start {self._starts[process.role]}")

    def _await_chief(self, port: int, signals: StopSignals, wake: threading.Event) -> None:
        """Until it listens: it has then explored the space, which no worker need do again."""
        while not accepts(port) and self._go_on(signals):
            wake.wait(LOOK_EVERY)
            wake.clear()

    def _go_on(self, signals: StopSignals) -> bool:
        """Look after the processes; False when all have ended well."""
        if signals.first is not None:
            raise KeyboardInterrupt(signals.first)
        chief, *workers = self._processes
        if chief.exit is not None and chief.exit.status != 0:
            raise self._failed(chief)
        for worker in workers:
            if worker.exit is None or worker.exit.status == 0 or not worker.departed:
                continue
            if chief.exit is not None:  # Nothing is left for it to do.
                continue
            if self._starts[worker.role] >= STARTS:
                raise self._failed(worker)
            self.lost.append(f"{worker.role}: {worker.exit.how}")
            worker.clear()
            self._start(worker)
        if chief.exit is not None and time.monotonic() - chief.exit.at > LAST_WORDS:
            return False  # Whoever runs still waits for an answer that will not come.
        return not all(process.exit is not None for process in self._processes)

    def _failed(self, process: RoleProcess) -> TrainingError:
        assert process.exit is not None
        tail = "\n".join(f"  {line}" for line in process.tail(TAIL))
        return TrainingError(
            f"{process.role} of the search failed ({process.exit.how}), {self._starts[process.role]} starts. "
            f"Its log {process.log} ends:\n{tail}\nType the same command again to go on with the search."
        )

    @contextlib.contextmanager
    def _stopped_at_the_end(self, signals: StopSignals, wake: threading.Event) -> Iterator[None]:
        def wait() -> None:
            wake.wait(LOOK_EVERY)
            wake.clear()

        try:
            yield
        finally:
            stop(self._processes, GRACE, checkpoint=False, hurry=lambda: signals.count > 1, wait=wait)


def _threads(workers: int) -> dict[str, str]:
    """The cores of this machine, shared out."""
    count = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    shared = dict.fromkeys(names, count)
    local = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1", "localhost"]))
    return {**shared, "PYTHONUNBUFFERED": "1", "CTRKIT_QUIET": "1", "no_proxy": local}
