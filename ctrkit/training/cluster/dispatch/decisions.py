"""What the chief decides for its cluster: who trains which tickets, when all pause, when it is over.

Workers ask before each training step; the answer "go" is a *permit*, given up by their next question. So the chief
knows when no update is under way, which is when variables may be saved. Answers are JSON: `service` gives them
to other processes, and `DispatchClient` asks the questions.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.member import STARTING, TRAINING, Member, Permit
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.process_identity import Process
from ctrkit.training.cluster.dispatch.roster import LOOK_EVERY, Roster
from ctrkit.training.cluster.ending import FAILED, End

GO, STOP, STALE = "go", "stop", "stale"  # Answers to `step`.
WAIT, DONE = "wait", "done"  # Answers to `lease`, beside a lease and `STALE`.
AGAIN = "again"  # To any question that had to wait too long: ask again.
REPLACED = "replaced"  # Another process, or session, took the place of the one that asks.
_log = logging.getLogger(__name__)


class Dispatch:
    """The state of a cluster, in the chief's process; safe to share between threads."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        info: Mapping[str, Any] | None = None,
        generation: int = 1,
        options: DispatchOptions | None = None,
        on_change: Callable[[Dispatch], None] | None = None,
    ) -> None:
        """Begin a generation that is not ready yet.

        Args:
            ledger: belongs to the dispatch from now on.
            info: what joining roles are told; JSON.
            generation: higher than those of all chiefs before.
            options: see `DispatchOptions`.
            on_change: called, with a lock held, when the generation changes or the end comes.
        """
        self.options = DispatchOptions() if options is None else options
        self.generation = generation
        self.end: End | None = None
        self.failure: str | None = None  # Why a role gave the training up; its variables are not to be saved then.
        self._ledger, self._info = ledger, dict(info or {})
        self._on_change = on_change
        self._ready: int | None = None  # The step at which this generation began, once its variables are there.
        self._holds = 0
        self._gate: int | None = None
        self._closed = False
        self._facts: dict[str, Any] = {}
        self._roster = Roster(
            lost_after=self.options.lost_after, slow_factor=self.options.slow_factor, on_lost=self._release
        )
        lock = threading.RLock()
        self._lock = lock
        self._go = threading.Condition(lock)  # Something that keeps workers waiting changed.
        self._quiet = threading.Condition(lock)  # A permit was given up, or a role came or went.

    # --- the chief's side -------------------------------------------------------------------------------------------

    def set_ready(self, step: int) -> None:
        """Let workers open their sessions: the variables are initialised, or restored, as of `step`."""
        with self._lock:
            self._ready = step
            self._facts["step"] = step
            self._go.notify_all()

    def set_not_ready(self) -> None:
        """Keep workers from their next step and from opening sessions until `set_ready`."""
        with self._lock:
            self._ready = None

    def restart_generation(self, ledger_state: Mapping[str, Any], step: int, *, ready: bool = True) -> int:
        """Forget what was done since the state that the chief restored, as of `step`; returns the new generation.

        Every worker is told "stale" and has to join again; the cluster is ready at once, or with `ready=False` at the
        next `set_ready`. Permits stay out until their holders ask again: `held` still waits for them.
        """
        with self._lock:
            self._ledger = self._ledger.restored(ledger_state)
            self.generation += 1
            if ready:
                self.set_ready(step)
            else:
                self.set_not_ready()
            self._changed()
            _log.warning("Went back to step %s: generation %d.", f"{step:,}", self.generation)
            return self.generation

    @contextlib.contextmanager
    def held(self, timeout: float) -> Iterator[bool]:
        """Give no permits inside the block, which begins when none is out, or after `timeout` seconds.

        Yields whether all is quiet: no worker that lives is within a step. A permit of the calling thread itself does
        not count, as the chief saves from within its own step.
        """
        thread = threading.get_ident()
        with self._lock:
            self._holds += 1
        try:
            yield self._wait_for(lambda: not self._in_flight(thread), timeout)
        finally:
            with self._lock:
                self._holds -= 1
                self._go.notify_all()

    def set_gate(self, step: int | None) -> None:
        """Let workers of other processes that have seen the global step `step`, or a later one, wait; None: nobody.

        For synchronous training, where a hold alone would stop a step half way: the workers that are in it wait for
        gradients of those that are kept out. Set the gate to the next step to save at, `held` it there, move it on.
        """
        with self._lock:
            self._gate = step
            self._go.notify_all()

    def in_flight(self) -> list[str]:
        """Names of the roles that have a permit."""
        with self._lock:
            return [member.name for member in self._roster if member.permit is not None]

    def note(self, **facts: Any) -> None:
        """Keep facts for the screen: `step`, `steps`, `checkpoint_step`, `evaluations`, …; JSON."""
        with self._lock:
            self._facts.update(facts)

    def ledger_state(self) -> dict[str, Any]:
        """The tickets done, for a checkpoint's stamp; within `held` they are exactly those of the variables."""
        with self._lock:
            return self._ledger.to_dict()

    def wait_for_roles(self, expected: Iterable[tuple[str, int]], limit: float) -> None:
        """Return when all of these roles were heard of. Raises `TrainingError` naming those that were not in time."""
        expected = list(expected)
        if not self._wait_for(lambda: not self._roster.missing(expected), limit):
            with self._lock:
                missing = self._roster.missing(expected)
            if missing:
                raise role_never_came(missing, limit)

    @property
    def doubtful(self) -> int:
        """Tickets that lost workers had in flight: they are leased to nobody until `settle`."""
        with self._lock:
            return self._ledger.doubtful

    def settle(self, step: int) -> None:
        """Decide about the doubtful tickets, by the global step of asynchronous variables while all is quiet."""
        with self._lock:
            if self._ledger.doubtful:
                self._ledger.settle(step - self._ledger.done)

    def finish(self, status: str, reason: str = "") -> None:
        """End the training: from now on every question is answered "stop"."""
        with self._lock:
            if self.end is None:
                self.end = {"status": status, "reason": reason}
                self._changed()
            self._go.notify_all()

    def lost_longer_than(self, seconds: float, *, role: str = "worker") -> list[str]:
        """Roles of this kind that are lost, and of which nothing was heard for so long."""
        with self._lock:
            self._look()
            return self._roster.lost_longer_than(seconds, role)

    def wait_until_left(self, timeout: float, *, roles: Iterable[str] = ("worker",)) -> list[str]:
        """Wait until no role of these kinds is left, lost ones aside; returns those that are there after `timeout`."""
        kinds = set(roles)

        def there() -> list[str]:
            return [m.name for m in self._roster if m.role in kinds and m.left is None and not m.lost]

        self._wait_for(lambda: not there(), timeout)
        with self._lock:
            return there()

    def close(self) -> None:
        """Answer all that wait, so that their threads end."""
        with self._lock:
            self._closed = True
            self._go.notify_all()
            self._quiet.notify_all()

    # --- questions of the roles -------------------------------------------------------------------------------------

    def join(self, role: str, index: int, incarnation: str, process: Mapping[str, Any]) -> dict[str, Any]:
        """Enter; what an earlier incarnation of the role held goes to others."""
        with self._lock:
            known = self._roster.incarnation(role, index, incarnation)
            if known is None:
                before = self._roster.find(role, index)
                in_flight = before is not None and before.permit is not None
                member = self._roster.join(role, index, incarnation, Process.from_dict(dict(process)))
                self._release(member, in_flight)
                self._quiet.notify_all()
            return {"generation": self.generation, "info": self._info, "ready": self._ready, "end": self.end}

    def wait_ready(self, role: str, index: int, incarnation: str | None, wait: float) -> dict[str, Any]:
        """The step at which the variables are; or the end; or neither yet. Says whether the asking role has joined."""
        with self._lock:
            self._wait_go(lambda: self._ready is not None or self.end is not None, wait)
            joined = incarnation is None or self._roster.incarnation(role, index, incarnation) is not None
            replaced = incarnation is not None and self._roster.was_replaced(role, index, incarnation)
            return {
                "generation": self.generation,
                "ready": self._ready,
                "end": self.end,
                "joined": joined,
                "replaced": replaced,
            }

    def lease(self, role: str, index: int, incarnation: str, generation: int) -> dict[str, Any]:
        """Tickets to train, or "wait", "done", "stale", "replaced"."""
        with self._lock:
            member, refusal = self._asks(role, index, incarnation, generation)
            if member is None:
                return {"answer": refusal}
            if self.end is not None:
                return {"answer": DONE}
            if self._ready is None:
                return {"answer": WAIT}
            self._look()
            if self._holds and self._is_idle(member):
                return {"answer": WAIT}  # Else it would begin a step inside the hold.
            lease = self._ledger.lease(member.name)
            member.starves = lease is None
            if lease is None:
                self._quiet.notify_all()
                return {"answer": DONE if self._ledger.complete else WAIT}
            return {"answer": "lease", "lease": [lease.first, lease.count]}

    def step(
        self,
        role: str,
        index: int,
        incarnation: str,
        generation: int,
        acknowledged: Iterable[tuple[int, bool]],
        stats: Mapping[str, Any],
        step: int | None,
        wait: float,
        thread: int | None = None,
    ) -> dict[str, Any]:
        """A permit for the next step, or "stop", "stale", "replaced", or "again" after `wait` seconds of a hold."""
        with self._lock:
            member, refusal = self._asks(role, index, incarnation, generation)
            if member is not None:
                self._settle(member, acknowledged, stats, least=1)
            if self.end is not None:
                return {"answer": STOP}
            if member is None:
                return {"answer": refusal}

            def decided() -> bool:
                changed = self.generation != generation or member.incarnation != incarnation or member.lost
                return changed or self.end is not None or not self._is_kept(step, thread)

            if not decided():
                member.kept_waiting = True
                self._wait_go(decided, wait)
                if member.incarnation == incarnation:
                    member.kept_waiting = False
            if self.end is not None:
                return {"answer": STOP}
            _, refusal = self._asks(role, index, incarnation, generation)
            if refusal is not None:
                return {"answer": refusal}
            if self._closed or not decided():
                return {"answer": AGAIN}
            member.permit = Permit(time.monotonic(), thread, generation)
            if member.state == STARTING:
                member.state = TRAINING
            return {"answer": GO}

    def heartbeat(
        self, role: str, index: int, incarnation: str | None, state: str, stats: Mapping[str, Any], process: Any
    ) -> dict[str, Any]:
        """A sign of life of any role."""
        with self._lock:
            if incarnation is None or not self._roster.was_replaced(role, index, incarnation):
                member = self._roster.seen(role, index, Process.from_dict(process))
                member.state = state
                member.stats.update(stats)
                self._quiet.notify_all()
            self._look()
            return {"generation": self.generation, "end": self.end}

    def leave(
        self,
        role: str,
        index: int,
        incarnation: str,
        generation: int,
        state: str,
        acknowledged: Iterable[tuple[int, bool]],
        stats: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Go; what it still holds goes to others."""
        with self._lock:
            member = self._roster.incarnation(role, index, incarnation)
            if member is not None:
                self._settle(member, acknowledged if generation == self.generation else (), stats, least=0)
                self._release(member)
                member.left = state
                self._quiet.notify_all()
            return {}

    def fail(self, role: str, index: int, reason: str) -> dict[str, Any]:
        """A role found that the training cannot go on: it ends for all, and nothing of it is saved any more."""
        with self._lock:
            if self.failure is None:
                self.failure = f"{role}-{index}: {reason}"
            self.finish(FAILED, self.failure)
            return {}

    def wait_end(self, wait: float, generation: int | None = None) -> dict[str, Any]:
        """How the training ended, or None so far; answered at once where the generation is not the given one."""
        with self._lock:
            self._wait_go(lambda: self.end is not None or generation not in (None, self.generation), wait)
            return {"end": self.end, "generation": self.generation}

    def status(self) -> dict[str, Any]:
        """Everything for a screen, as JSON."""
        with self._lock:
            self._look()
            roles = self._roster.rows()
            return {
                "generation": self.generation,
                "ready": self._ready is not None,
                "held": self._holds > 0,
                "end": self.end,
                "cluster": {
                    **self._facts,
                    "samples_per_second": round(sum(row["samples_per_second"] for row in roles.values()), 1),
                    "dropped": sum(row["dropped"] for row in roles.values()),
                    "tickets": self._ledger.tickets,
                    "tickets_done": self._ledger.done,
                    "stray": self._ledger.stray,
                },
                "roles": roles,
            }

    # --- within ------------------------------------------------------------------------------------------------------

    def _asks(self, role: str, index: int, incarnation: str, generation: int) -> tuple[Member | None, str | None]:
        """The member that asks, or why it gets nothing."""
        member = self._roster.incarnation(role, index, incarnation)
        if member is None:
            return None, REPLACED if self._roster.was_replaced(role, index, incarnation) else STALE
        member.trains = True
        if generation != self.generation or member.lost:
            if member.permit is not None:
                member.permit = None
                self._quiet.notify_all()
            return None, STALE
        return member, None

    def _settle(
        self, member: Member, acknowledged: Iterable[tuple[int, bool]], stats: Mapping[str, Any], *, least: int
    ) -> None:
        """Take the permit back, and what was trained with it: a step for each ticket, and `least` without any."""
        tickets = list(acknowledged)
        held = [self._ledger.acknowledge(member.name, ticket, dropped) for ticket, dropped in tickets]
        drops = sum(dropped for (_, dropped), was_held in zip(tickets, held, strict=True) if was_held)
        member.end_steps(time.monotonic(), max(least, len(tickets)), dict(stats), dropped=drops)
        self._quiet.notify_all()

    def _is_kept(self, step: int | None, thread: int | None) -> bool:
        if self._holds or self._ready is None:
            return True
        return thread is None and self._gate is not None and step is not None and step >= self._gate

    def _in_flight(self, thread: int) -> bool:
        permits = [(member, member.permit) for member in self._roster if member.permit is not None]
        return any(permit.thread != thread and not self._is_idle(member) for member, permit in permits)

    def _is_idle(self, member: Member) -> bool:
        """Whether its permit is not in use: its step waits for a batch, and there is none on the way."""
        if member.permit is None or member.permit.generation != self.generation:
            return False
        return member.starves and not self._ledger.held_by(member.name)

    def _wait_go(self, condition: Callable[[], bool], seconds: float) -> None:
        self._go.wait_for(lambda: self._closed or condition(), min(seconds, self.options.longest_poll))

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait on the roles, looking for lost ones meanwhile; returns whether the condition came true."""
        until = time.monotonic() + seconds
        with self._lock:
            while True:
                self._look()
                if condition():
                    return True
                left = until - time.monotonic()
                if left <= 0 or self._closed:
                    return False
                self._quiet.wait(min(left, LOOK_EVERY / 2))

    def _look(self) -> None:
        if self._roster.look_for_lost():
            self._go.notify_all()
            self._quiet.notify_all()

    def _release(self, member: Member, in_flight: bool = False) -> int:
        in_flight = in_flight and self.options.doubts
        return sum(lease.count for lease in self._ledger.release(member.name, in_flight=in_flight))

    def _changed(self) -> None:
        self._go.notify_all()
        if self._on_change is not None:
            self._on_change(self)


def role_never_came(missing: Iterable[str], limit: float) -> TrainingError:
    """The error for roles of which nothing was heard within `limit` seconds."""
    names = list(missing)
    return TrainingError(
        f"{', '.join(names)} did not come up within {limit:g} s: was {'it' if len(names) == 1 else 'each of them'} "
        "started, with the same TF_CONFIG cluster and the same work_dir on a disk that all can read? Look at the last "
        f"lines of {'its log' if len(names) == 1 else 'their logs'}; where starting takes long, allow more time."
    )
