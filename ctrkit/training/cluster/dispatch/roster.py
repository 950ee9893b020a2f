"""The roles of a cluster: who came, who is lost, who is slow."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ctrkit.training.cluster.dispatch.member import Member
from ctrkit.training.cluster.dispatch.process_identity import Process

LOOK_EVERY = 0.5  # Seconds between two looks for lost roles: a look reads one small file for each of them.
_log = logging.getLogger(__name__)


class Roster:
    """Members by name; not safe to share between threads."""

    def __init__(
        self,
        *,
        lost_after: float,
        slow_factor: float,
        on_lost: Callable[[Member, bool], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_lost` is told of each role that is lost, once, and whether it was within a step; it returns how many
        tickets went back."""
        self._members: dict[str, Member] = {}
        self._lost_after, self._slow_factor = lost_after, slow_factor
        self._on_lost, self._clock = on_lost, clock
        self._looked = clock()
        self._this = Process.this()

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def find(self, role: str, index: int) -> Member | None:
        """The role, if it was ever heard of."""
        return self._members.get(f"{role}-{index}")

    def join(self, role: str, index: int, incarnation: str, process: Process) -> Member:
        """Enter a role, or its new incarnation."""
        member = self.seen(role, index, process)
        member.join(incarnation, process, self._clock())
        return member

    def seen(self, role: str, index: int, process: Process | None = None) -> Member:
        """Note that a role gave a sign of life, whether it has joined or not."""
        now = self._clock()
        member = self._members.setdefault(f"{role}-{index}", Member(role, index, now))
        if process is not None and member.incarnation is None:
            member.process = process
        member.heard = now
        if member.lost and not member.trains:
            member.lost = False
            _log.warning("%s is heard of again.", member.name)
        return member

    def incarnation(self, role: str, index: int, incarnation: str) -> Member | None:
        """The member that speaks, or None when it is unknown here or another took its place."""
        member = self._members.get(f"{role}-{index}")
        if member is None or member.incarnation != incarnation:
            return None
        member.heard = self._clock()
        return member

    def was_replaced(self, role: str, index: int, incarnation: str) -> bool:
        """Whether a newer incarnation of the role has joined."""
        member = self._members.get(f"{role}-{index}")
        return member is not None and member.incarnation not in (None, incarnation)

    def look_for_lost(self) -> bool:
        """Mark the roles whose process ended, or which were silent too long; returns whether there were any new."""
        now = self._clock()
        if now - self._looked < min(LOOK_EVERY, self._lost_after / 4):
            return False
        self._looked = now
        found = False
        for member in self:
            if member.lost or member.left is not None or member.process == self._this:
                continue  # The process that asks is there, also when a long evaluation keeps it silent.
            silent = now - member.heard
            gone = member.process is not None and member.process.is_gone
            if gone or silent > self._lost_after:
                in_flight = member.permit is not None
                member.lost, member.permit, member.kept_waiting, found = True, None, False, True
                released = self._on_lost(member, in_flight)
                why = "its process ended" if gone else f"not heard of for {silent:.0f} s"
                share = f"; {released:,} batches that it had go to others" if released else ""
                where = f" (pid {member.process.pid} on {member.process.host})" if member.process else ""
                _log.warning("%s%s is lost: %s%s.", member.name, where, why, share)
        return found

    def lost_longer_than(self, seconds: float, role: str) -> list[str]:
        """Members of this role that are lost and were last heard of before so many seconds."""
        now = self._clock()
        return [one.name for one in self if one.role == role and one.lost and now - one.heard > seconds]

    def missing(self, expected: Iterable[tuple[str, int]]) -> list[str]:
        """The expected roles of which nothing was ever heard."""
        return [f"{role}-{index}" for role, index in expected if f"{role}-{index}" not in self]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Each role for a screen."""
        now = self._clock()
        slow = self._slow()
        return {member.name: member.row(now, slow=member.name in slow) for member in self}

    def _slow(self) -> set[str]:
        paces = {
            member.name: seconds
            for member in self
            if not member.lost and member.left is None and (seconds := member.step_seconds()) is not None
        }
        others = {name: [pace for other, pace in paces.items() if other != name] for name in paces}
        return {
            name
            for name, pace in paces.items()
            if others[name] and pace > self._slow_factor * statistics.median(others[name])
        }
