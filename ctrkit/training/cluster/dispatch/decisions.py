"""What the chief decides for its cluster: when all may start, when they pause, when it is over."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.questions import Questions
from ctrkit.training.cluster.dispatch.state import ClusterState
from ctrkit.training.cluster.ending import End

_log = logging.getLogger(__name__)


class Dispatch:
    """The chief's side of its cluster; safe to share between threads. The roles' side is `questions`."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        info: Mapping[str, Any] | None = None,
        generation: int = 1,
        options: DispatchOptions | None = None,
        on_change: Callable[[Dispatch], None] = lambda dispatch: None,
    ) -> None:
        """Begin a generation that is not ready yet.

        Args:
            ledger: belongs to the dispatch from now on.
            info: what joining roles are told; JSON.
            generation: higher than those of all chiefs before.
            options: see `DispatchOptions`.
            on_change: called, with a lock held, when the generation changes or the end comes.
        """
        self._state = ClusterState(
            ledger,
            info=info or {},
            generation=generation,
            options=DispatchOptions() if options is None else options,
            on_change=lambda: on_change(self),
        )
        self.questions = Questions(self._state)

    @property
    def generation(self) -> int:
        """Rises with each return to an older state."""
        return self._state.generation

    @property
    def end(self) -> End | None:
        """How the training ended; None so far."""
        return self._state.end

    @property
    def failure(self) -> str | None:
        """Why a role gave the training up; its variables are not to be saved then."""
        return self._state.failure

    def status(self) -> dict[str, Any]:
        """Everything for a screen, as JSON."""
        return self.questions.status()

    def set_ready(self, step: int) -> None:
        """Let workers open their sessions: the variables are initialised, or restored, as of `step`."""
        with self._state as cluster:
            cluster.ready = step
            cluster.facts["step"] = step
            cluster.go.notify_all()

    def set_not_ready(self) -> None:
        """Keep workers from their next step and from opening sessions until `set_ready`."""
        with self._state as cluster:
            cluster.ready = None

    def restart_generation(self, ledger_state: Mapping[str, Any], step: int, *, ready: bool = True) -> int:
        """Forget what was done since the state that the chief restored, as of `step`; returns the new generation.

        Every worker is told "stale" and has to join again; the cluster is ready at once, or with `ready=False` at the
        next `set_ready`. Permits stay out until their holders ask again: `held` still waits for them.
        """
        with self._state as cluster:
            cluster.ledger = cluster.ledger.restored(ledger_state)
            cluster.generation += 1
            if ready:
                self.set_ready(step)
            else:
                self.set_not_ready()
            cluster.changed()
            _log.warning("Went back to step %s: generation %d.", f"{step:,}", cluster.generation)
            return cluster.generation

    @contextlib.contextmanager
    def held(self, timeout: float) -> Iterator[bool]:
        """Give no permits inside the block, which begins when none is out, or after `timeout` seconds.

        Yields whether all is quiet: no worker that lives is within a step. A permit of the calling thread itself does
        not count, as the chief saves from within its own step.
        """
        thread = threading.get_ident()
        with self._state as cluster:
            cluster.holds += 1
        try:
            yield self._state.wait_for(lambda: not self._in_flight(thread), timeout)
        finally:
            with self._state as cluster:
                cluster.holds -= 1
                cluster.go.notify_all()

    def set_gate(self, step: int | None) -> None:
        """Let workers of other processes that have seen the global step `step`, or a later one, wait; None: nobody.

        For synchronous training, where a hold alone would stop a step half way: the workers that are in it wait for
        gradients of those that are kept out. Set the gate to the next step to save at, `held` it there, move it on.
        """
        with self._state as cluster:
            cluster.gate = step
            cluster.go.notify_all()

    def in_flight(self) -> list[str]:
        """Names of the roles that have a permit."""
        with self._state as cluster:
            return [member.name for member in cluster.roster if member.permit is not None]

    def note(self, **facts: Any) -> None:
        """Keep facts for the screen: `step`, `steps`, `checkpoint_step`, `evaluations`, …; JSON."""
        with self._state as cluster:
            cluster.facts.update(facts)

    def ledger_state(self) -> dict[str, Any]:
        """The tickets done, for a checkpoint's stamp; within `held` they are exactly those of the variables."""
        with self._state as cluster:
            return cluster.ledger.to_dict()

    def wait_for_roles(self, expected: Iterable[tuple[str, int]], limit: float) -> None:
        """Return when all of these roles were heard of. Raises `TrainingError` naming those that were not in time."""
        expected = list(expected)
        if not self._state.wait_for(lambda: not self._state.roster.missing(expected), limit):
            with self._state as cluster:
                missing = cluster.roster.missing(expected)
            if missing:
                raise role_never_came(missing, limit)

    @property
    def doubtful(self) -> int:
        """Tickets that lost workers had in flight: they are leased to nobody until `settle`."""
        with self._state as cluster:
            return cluster.ledger.doubtful

    def settle(self, step: int) -> None:
        """Decide about the doubtful tickets, by the global step of asynchronous variables while all is quiet."""
        with self._state as cluster:
            if cluster.ledger.doubtful:
                cluster.ledger.settle(step - cluster.ledger.done)

    def finish(self, status: str, reason: str = "") -> None:
        """End the training: from now on every question is answered "stop"."""
        with self._state as cluster:
            cluster.finish(status, reason)

    def lost_longer_than(self, seconds: float, *, role: str = "worker") -> list[str]:
        """Roles of this kind that are lost, and of which nothing was heard for so long."""
        with self._state as cluster:
            cluster.look()
            return cluster.roster.lost_longer_than(seconds, role)

    def wait_until_left(self, timeout: float, *, roles: Iterable[str] = ("worker",)) -> list[str]:
        """Wait until no role of these kinds is left, lost ones aside; returns those that are there after `timeout`."""
        kinds = set(roles)

        def there() -> list[str]:
            return [m.name for m in self._state.roster if m.role in kinds and m.left is None and not m.lost]

        self._state.wait_for(lambda: not there(), timeout)
        with self._state:
            return there()

    def close(self) -> None:
        """Answer all that wait, so that their threads end."""
        with self._state as cluster:
            cluster.closed = True
            cluster.go.notify_all()
            cluster.quiet.notify_all()

    def _in_flight(self, thread: int) -> bool:
        permits = [(member, member.permit) for member in self._state.roster if member.permit is not None]
        return any(permit.thread != thread and not self._state.is_idle(member) for member, permit in permits)


def role_never_came(missing: Iterable[str], limit: float) -> TrainingError:
    """The error for roles of which nothing was heard within `limit` seconds."""
    names = list(missing)
    return TrainingError(
        f"{', '.join(names)} did not come up within {limit:g} s: was {'it' if len(names) == 1 else 'each of them'} "
        "started, with the same TF_CONFIG cluster and the same work_dir on a disk that all can read? Look at the last "
        f"lines of {'its log' if len(names) == 1 else 'their logs'}; where starting takes long, allow more time."
    )
