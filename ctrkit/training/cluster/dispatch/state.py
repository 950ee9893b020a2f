"""What a chief's decisions and the answers to its roles go by: one state, one lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.member import Member
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.roster import LOOK_EVERY, Roster
from ctrkit.training.cluster.ending import End


class ClusterState:
    """In the chief's process, shared by threads: read and change it in a `with` block, which holds its lock.

    Args:
        ledger: belongs to the state from now on.
        info: what joining roles are told; JSON.
        generation: higher than those of all chiefs before.
        options: see `DispatchOptions`.
        on_change: called, with the lock held, when the generation changes or the end comes.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        info: Mapping[str, Any],
        generation: int,
        options: DispatchOptions,
        on_change: Callable[[], None],
    ) -> None:
        self.ledger, self.info, self.generation, self.options = ledger, dict(info), generation, options
        self.end: End | None = None
        self.failure: str | None = None  # Why a role gave the training up; its variables are not to be saved then.
        self.ready: int | None = None  # The step at which this generation began, once its variables are there.
        self.holds = 0
        self.gate: int | None = None
        self.closed = False
        self.facts: dict[str, Any] = {}
        self.roster = Roster(lost_after=options.lost_after, slow_factor=options.slow_factor, on_lost=self.release)
        self._lock = threading.RLock()
        self.go = threading.Condition(self._lock)  # Something that keeps workers waiting changed.
        self.quiet = threading.Condition(self._lock)  # A permit was given up, or a role came or went.
        self._on_change = on_change

    def __enter__(self) -> ClusterState:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def finish(self, status: str, reason: str) -> None:
        """End the training, if nothing ended it before."""
        if self.end is None:
            self.end = {"status": status, "reason": reason}
            self.changed()
        self.go.notify_all()

    def changed(self) -> None:
        """The generation is another, or the end has come."""
        self.go.notify_all()
        self._on_change()

    def release(self, member: Member, in_flight: bool = False) -> int:
        """Give to others what a member holds; returns how many tickets that were."""
        in_flight = in_flight and self.options.doubts
        return sum(lease.count for lease in self.ledger.release(member.name, in_flight=in_flight))

    def is_idle(self, member: Member) -> bool:
        """Whether its permit is not in use: its step waits for a batch, and there is none on the way."""
        if member.permit is None or member.permit.generation != self.generation:
            return False
        return member.starves and not self.ledger.held_by(member.name)

    def look(self) -> None:
        """See who is lost."""
        if self.roster.look_for_lost():
            self.go.notify_all()
            self.quiet.notify_all()

    def wait_go(self, condition: Callable[[], bool], seconds: float) -> None:
        """Let a role's question wait until the condition comes true, but not for longer than `longest_poll`."""
        self.go.wait_for(lambda: self.closed or condition(), min(seconds, self.options.longest_poll))

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait on the roles, looking for lost ones meanwhile; returns whether the condition came true."""
        until = time.monotonic() + seconds
        with self._lock:
            while True:
                self.look()
                if condition():
                    return True
                left = until - time.monotonic()
                if left <= 0 or self.closed:
                    return False
                self.quiet.wait(min(left, LOOK_EVERY / 2))
