"""Where a request may go: the least busy channel of a target that is not left out for its failures."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ctrkit.errors import RequestError

FIRST_REST = 0.25  # Seconds that a target is left out after a failure; doubled for each further one in a row,
LONGEST_REST = 10.0  # at most so long.
SLOW_IN_A_ROW = 3  # Deadlines missed by one target, one after another, that count as a failure.


@dataclass(eq=False)
class Target:
    """One address and what was last seen of it."""

    address: str
    failures: int = 0  # In a row.
    slow: int = 0  # Deadlines missed, in a row.
    out_until: float = 0.0  # `time.monotonic` seconds.


@dataclass(eq=False)
class Lane:
    """One channel to a target."""

    target: Target
    number: int  # Among all lanes: the place of its channel.
    outstanding: int = 0
    served: int = field(default=0)  # Requests that were sent here: of two equally busy lanes the rarer one is next.


class Targets:
    """Chooses lanes; safe to share between threads."""

    def __init__(self, addresses: Sequence[str], channels: int) -> None:
        if not addresses or not all(isinstance(one, str) and one for one in addresses):
            raise RequestError(f'Targets are {addresses!r}, expected "host:port" or a list of such.')
        self.all = tuple(Target(address) for address in dict.fromkeys(addresses))
        self.lanes = tuple(Lane(target, 0) for _ in range(channels) for target in self.all)
        for number, lane in enumerate(self.lanes):
            lane.number = number
        self._lock = threading.Lock()

    def take(self, *, only: str | None = None, tried: Collection[Lane] = (), other: bool = False) -> Lane | None:
        """The best lane, counted as busy until `release`; with `other` None rather than one that was `tried`.

        An untried target goes before an untried channel of a tried one. Targets that are left out are taken when
        there is no other.
        """
        now = time.monotonic()
        targets = {lane.target for lane in tried}
        with self._lock:
            lanes = self.lanes if only is None else [lane for lane in self.lanes if lane.target.address == only]
            if other:
                lanes = [lane for lane in lanes if lane not in tried]
                healthy = [lane for lane in lanes if lane.target.out_until <= now]
                lanes = healthy  # A second request is a bet: not on a target that just failed.
            if not lanes:
                return None
            best = min(
                lanes,
                key=lambda lane: (
                    max(0.0, lane.target.out_until - now),
                    lane.target in targets,
                    lane in tried,
                    lane.outstanding,
                    lane.served,
                ),
            )
            best.outstanding += 1
            best.served += 1
            return best

    def release(self, lane: Lane) -> None:
        """The request on `lane` is over."""
        with self._lock:
            lane.outstanding -= 1

    def good(self, lane: Lane) -> None:
        """The target answered."""
        target = lane.target
        if target.failures or target.slow:
            with self._lock:
                target.failures = target.slow = 0
                target.out_until = 0.0

    def late(self, lane: Lane) -> None:
        """The target missed a deadline: it may be gone without a word."""
        with self._lock:
            lane.target.slow += 1
            is_gone = lane.target.slow >= SLOW_IN_A_ROW
        if is_gone:
            self.bad(lane)

    def bad(self, lane: Lane) -> None:
        """The target could not be reached: leave it out for a while."""
        target = lane.target
        with self._lock:
            rest = min(LONGEST_REST, FIRST_REST * 2 ** min(target.failures, 10)) * random.uniform(0.5, 1.0)
            target.failures += 1
            target.out_until = time.monotonic() + rest
