"""Watch the processes of a cluster: start again what dies, end all when the job is done or cannot be."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.launch.coming_up import ComingUp
from ctrkit.training.cluster.launch.failure import ERROR_WITHIN, Failure, Incident, explained, follows_the_chief
from ctrkit.training.cluster.launch.restarts import RestartPolicy, Restarts
from ctrkit.training.cluster.launch.role_process import Exit, RoleProcess
from ctrkit.training.cluster.launch.roles import CHIEF, kind
from ctrkit.training.cluster.launch.row import RoleRow
from ctrkit.training.cluster.launch.status_poll import StatusPoll
from ctrkit.training.cluster.launch.stop_signal import StopSignals
from ctrkit.training.cluster.launch.stopping import Grace, stop
from ctrkit.training.cluster.launch.usage import Usage

TICK = 0.2  # Seconds between two looks; the end of a process and a signal wake at once.
SHOW_EVERY = 1.0  # Seconds between two pictures.
FOLLOW_WITHIN = 2.0  # Seconds in which the consequences of a failure show, or that the chief was done all the same.
_log = logging.getLogger(__name__)


class Screen(Protocol):
    """Where the cluster is shown."""

    def show(self, status: Mapping[str, Any] | None, rows: Sequence[RoleRow], elapsed: float) -> None:
        """The state of now; `elapsed` is seconds since the start."""

    def tell(self, text: str) -> None:
        """Something happened."""


class Supervision:
    """One run of a cluster, from the first start until the last process is gone."""

    def __init__(
        self,
        *,
        processes: Iterable[RoleProcess],
        ps_ports: Mapping[str, int],
        restarts: RestartPolicy,
        grace: Grace,
        up_within: float,
        poll: StatusPoll | None,
        signals: StopSignals,
        wake: threading.Event,
        log_dir: Path,
        screen: Screen | None,
    ) -> None:
        self._processes = {process.role: process for process in processes}
        self._policy, self._restarts = restarts, {role: Restarts(restarts) for role in self._processes}
        self._grace, self._up_within = grace, up_within
        self._coming_up = ComingUp(ps_ports, up_within, has_status=poll is not None)
        self._incident = Incident()
        self._poll, self._signals, self._wake, self._log_dir, self._screen = poll, signals, wake, log_dir, screen
        self._due: dict[str, float] = {}  # Role -> when it is started again.
        self._done: dict[str, Exit] = {}  # Role -> how it ended, if nobody starts it again.
        self._last: dict[str, Failure] = {}
        self._started: dict[str, float] = {}  # Role -> when its last process began.
        self._usage = {role: Usage() for role in self._processes}
        self._begun, self._shown, self._phase = time.monotonic(), 0.0, "training"

    def run(self) -> dict[str, str]:
        """Returns how each role ended; raises as `LocalCluster.run` says."""
        try:
            for role in self._processes:
                self._start(role, "started")
            while CHIEF not in self._done:
                self._step()
            self._finish()
        except KeyboardInterrupt:
            self._tell(f"{self._signals.first}: the chief writes a checkpoint, then all end; once more kills at once")
            self._stop(checkpoint=self._can_write_a_checkpoint())
            raise KeyboardInterrupt(
                f"{self._signals.first}: every role was ended. Run the same command again to go on from the last "
                f"checkpoint. Logs: {self._log_dir}"
            ) from None
        except BaseException:
            self._stop(checkpoint=self._can_write_a_checkpoint())
            raise
        self._stop(checkpoint=False)
        return {role: process.exit.how for role, process in self._processes.items() if process.exit is not None}

    def pids(self) -> dict[str, int]:
        """Role -> number of its running process."""
        return {role: pid for role, process in self._processes.items() if (pid := process.pid) is not None}

    def restarted(self) -> dict[str, int]:
        """Role -> how often it was started again."""
        return {role: restarts.count for role, restarts in self._restarts.items()}

    def _step(self) -> None:
        """Pass a moment; see who ended, who has come up, and start who is due."""
        self._pause()
        if self._signals.first is not None:
            raise KeyboardInterrupt
        for process in self._departed():
            if process.departed:  # Else it was seen to while another's failure was.
                self._took_leave(process)
        if self._phase == "training":
            self._look()
        for role in [role for role, due in self._due.items() if due <= time.monotonic()]:
            again = f"started again, restart {self._restarts[role].count}"
            self._start(role, f"{again}: it {self._last[role].what}" if role in self._last else again)

    def _pause(self) -> None:
        """Wait for a moment, or until something happens; show how things are."""
        self._wake.wait(TICK)
        self._wake.clear()
        now = time.monotonic()
        if now - self._shown >= SHOW_EVERY:
            self._shown = now
            self._show()

    def _departed(self) -> list[RoleProcess]:
        """Those whose end was not seen to yet, in the order in which they ended."""
        departed = [process for process in self._processes.values() if process.departed]
        return sorted(departed, key=lambda process: process.exit.at if process.exit is not None else 0.0)

    def _took_leave(self, process: RoleProcess) -> None:
        role, exit = process.role, process.exit
        assert exit is not None
        tail = process.tail(ERROR_WITHIN)
        process.clear()
        self._coming_up.ended(role)
        if follows_the_chief(exit):
            self._done[role] = exit
            self._tell(f"{role} is done" if exit.status == 0 else f"{role} heard that the training ended untrained")
            return
        self._last[role] = Failure.of(exit, tail)
        if self._phase == "training":
            self._died(role, exit.status, self._last[role])
        elif kind(role) != "evaluator" or not self._again(role):
            self._done[role] = exit
            self._tell(f"{role} {self._last[role].what} after the training was done")

    def _died(self, role: str, status: int, failure: Failure) -> None:
        """Start it again, unless that is of no use."""
        # What a role says after another one died may be its way of missing that one.
        consequence = self._incident.begun_by_another(role)
        self._incident.add(failure)
        verdict = ""
        if explained(status, list(failure.tail)) and not consequence:
            verdict = "Its own error is no accident: it was not started again."
        elif self._again(role):
            if role == CHIEF:  # With it come those that took the training to be over.
                for other in list(self._done):
                    self._bring_back(other, self._due[CHIEF])
            return
        elif self._policy.times:
            verdict = f"{role} had its {self._policy.times} restarts within {self._policy.within:g} s."
        if role == CHIEF or not self._chief_ends_well():
            raise TrainingError(self._story(verdict))

    def _bring_back(self, role: str, due: float) -> None:
        self._restarts[role].count += 1
        self._due[role] = due

    def _again(self, role: str) -> bool:
        """Note when to start the role again; False when it had its share."""
        now = time.monotonic()
        wait = self._restarts[role].wait(now)
        if wait is None:
            return False
        self._due[role] = now + wait
        self._tell(f"{role} {self._last[role].what}; it is started again in {wait:g} s")
        return True

    def _chief_ends_well(self) -> bool:
        """Let a moment pass in which others follow the one that failed; whether the chief's job was done."""
        until = time.monotonic() + FOLLOW_WITHIN
        while time.monotonic() < until and not self._signals.count:
            self._pause()
            for process in self._departed():
                exit, tail = process.exit, process.tail(ERROR_WITHIN)
                assert exit is not None
                process.clear()
                self._coming_up.ended(process.role)
                if follows_the_chief(exit):
                    self._done[process.role] = exit
                else:
                    self._incident.add(Failure.of(exit, tail))
            if CHIEF in self._done:
                return True
        return False

    def _look(self) -> None:
        """Who has come up, and who should have."""
        now = time.monotonic()
        asked_at, status = (now, None) if self._poll is None else self._poll.last
        self._coming_up.look(status, asked_at, now)
        if not self._due and self._coming_up.up >= set(self._processes) - set(self._done):
            self._incident.settle(now)
        late = self._coming_up.late(now)
        if late is None:
            return
        process = self._processes[late]
        what = (
            f"did not come up within {self._up_within:g} s: process {process.pid} runs, but {self._coming_up.why(late)}"
        )
        self._incident.add(Failure(late, what, now, tuple(process.tail(ERROR_WITHIN))))
        raise TrainingError(self._story(""))

    def _story(self, verdict: str) -> str:
        return self._incident.text(verdict, self._log_dir)

    def _start(self, role: str, headline: str) -> None:
        self._due.pop(role, None)
        self._done.pop(role, None)
        try:
            self._processes[role].start(f"{role} {headline}")
        except OSError as error:
            raise TrainingError(f"{role} could not be started: {error}. Logs: {self._log_dir}") from error
        self._started[role] = time.monotonic()
        self._coming_up.started(role, self._started[role])

    def _finish(self) -> None:
        """The chief is done: let the others end by themselves; the evaluator gets up even now if it falls."""
        self._phase = "finishing"
        self._due = {role: due for role, due in self._due.items() if kind(role) == "evaluator"}
        until = time.monotonic() + self._grace.finish
        while (self._due or self.pids()) and time.monotonic() < until:
            self._step()

    def _can_write_a_checkpoint(self) -> bool:
        """It needs the chief and whoever holds a part of the model."""
        needed = {CHIEF, *(role for role in self._processes if kind(role) == "ps")}
        return needed <= self._coming_up.up and needed <= set(self.pids())

    def _stop(self, *, checkpoint: bool) -> None:
        self._phase = "stopping"
        self._due.clear()
        before = self._signals.count
        stop(
            self._processes.values(),
            self._grace,
            checkpoint=checkpoint,
            hurry=lambda: self._signals.count > before,
            wait=self._pause,
        )
        self._show()

    def _show(self) -> None:
        status = None if self._poll is None else self._poll.last[1]
        self._on_screen(lambda screen: screen.show(status, self._rows(), time.monotonic() - self._begun))

    def _tell(self, text: str) -> None:
        self._on_screen(lambda screen: screen.tell(text))

    def _on_screen(self, draw: Callable[[Screen], None]) -> None:
        """A screen that breaks (a closed terminal, mostly) must not take the training with it."""
        if self._screen is None:
            return
        try:
            draw(self._screen)
        except (Exception, SystemExit):  # Rich leaves the program when its pipe is closed.
            self._screen = None
            with contextlib.suppress(OSError):
                _log.warning("The cluster's screen broke; the training goes on without.", exc_info=True)

    def _rows(self) -> list[RoleRow]:
        rows = []
        for role, process in self._processes.items():
            pid = process.pid
            cpu, memory = self._usage[role].look(pid)
            rows.append(
                RoleRow(
                    role=role,
                    state=self._state(role, pid),
                    pid=pid,
                    restarts=self._restarts[role].count,
                    cpu=cpu,
                    memory=memory,
                    last_failure=self._last[role].what if role in self._last else None,
                )
            )
        return rows

    def _state(self, role: str, pid: int | None) -> str:
        if pid is None:
            return "restarting" if role in self._due else "ended"
        if self._phase == "stopping":
            return "stopping"
        return "running" if role in self._coming_up.up or self._phase == "finishing" else "starting"
