"""Who trains which batch: tickets are leased to workers in order, and each counts as done exactly once.

Ticket k is the k-th batch of the order in which one machine would read the records, counted over all epochs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ArtifactError, ConfigError
from ctrkit.training.cluster.dispatch.intervals import Intervals


@dataclass(frozen=True)
class Lease:
    """Consecutive tickets that one worker is to train."""

    first: int
    count: int


class Ledger:
    """Tickets done, tickets held by workers, and the rest, lowest first; not safe to share between threads.

    >>> ledger = Ledger(5, lease=2)
    >>> ledger.lease("a"), ledger.lease("b")
    (Lease(first=0, count=2), Lease(first=2, count=2))
    >>> ledger.acknowledge("a", 0), ledger.release("a"), ledger.lease("b"), ledger.done
    (True, [Lease(first=1, count=1)], Lease(first=1, count=1), 1)
    """

    def __init__(self, tickets: int, *, lease: int, fillers: bool = False) -> None:
        """Make a ledger of which nothing is done.

        Args:
            tickets: batches to train, over all epochs; 0 is complete from the start.
            lease: how many tickets a worker gets at once, at most.
            fillers: when no ticket is left to lease, lease fillers, one at a time: numbers from `tickets` up that
                never count as done. Synchronous training needs them to fill its last step, so a ledger with fillers
                always has a lease to give, even when it is complete: whoever counts the steps ends the training.
        """
        for name, value, least in (("tickets", tickets, 0), ("lease", lease, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name}: got {value!r}, expected a whole number of at least {least}.")
        self.tickets, self.fillers = tickets, fillers
        self.stray = 0  # Acknowledgements of tickets that the worker did not hold.
        self._lease = lease
        self._done = Intervals()
        self._free = Intervals([(0, tickets)])
        self._held: dict[Hashable, Intervals] = {}
        self._doubtful = Intervals()
        self._next_filler = tickets

    @property
    def done(self) -> int:
        """Tickets acknowledged."""
        return len(self._done)

    @property
    def complete(self) -> bool:
        """Whether every ticket is done."""
        return self.done == self.tickets

    @property
    def free(self) -> int:
        """Tickets that are neither done nor held."""
        return len(self._free)

    def lease(self, worker: Hashable) -> Lease | None:
        """Hold the lowest free tickets for `worker`; None when all are held or done (and there are no fillers)."""
        taken = self._free.take(self._lease)
        if taken is None:
            if not self.fillers:
                return None
            taken = (self._next_filler, self._next_filler + 1)
            self._next_filler += 1
        self._held.setdefault(worker, Intervals()).add(*taken)
        return Lease(taken[0], taken[1] - taken[0])

    def acknowledge(self, worker: Hashable, ticket: int, dropped: bool = False) -> bool:
        """Note that `worker` trained `ticket`, or that its gradient was `dropped`: then it is leased anew, soon.

        Returns whether the worker held it; otherwise nothing changes but the count of `stray` ones.
        """
        held = self._held.get(worker)
        if held is None or ticket not in held:
            self.stray += 1
            return False
        held.remove(ticket, ticket + 1)
        if not held:
            del self._held[worker]
        if ticket < self.tickets:
            (self._free if dropped else self._done).add(ticket, ticket + 1)
        return True

    @property
    def doubtful(self) -> int:
        """Tickets of which nobody knows whether they were trained, until `settle`."""
        return len(self._doubtful)

    def release(self, worker: Hashable, *, in_flight: bool = False) -> list[Lease]:
        """Free what `worker` holds, to be leased anew, and return it, lowest first and without fillers.

        With `in_flight` the worker was lost within a step: its first ticket may have been trained and is kept back.
        """
        held = self._held.pop(worker, Intervals())
        held.remove(self.tickets, self._next_filler)
        if in_flight and (lost := held.take(1)) is not None:
            self._doubtful.add(*lost)
        for first, end in held:
            self._free.add(first, end)
        return _leases(held)

    def settle(self, trained: int) -> None:
        """Say how many of the doubtful tickets were trained; the others are leased anew."""
        while (ticket := self._doubtful.take(1)) is not None:
            (self._done if trained > 0 else self._free).add(*ticket)
            trained -= 1

    def held_by(self, worker: Hashable) -> list[Lease]:
        """What `worker` holds and has not acknowledged, lowest first, fillers among it."""
        return _leases(self._held.get(worker, Intervals()))

    def to_dict(self) -> dict[str, Any]:
        """The tickets done, as JSON; leases are not kept, for they mean nothing to another process."""
        return {"tickets": self.tickets, "done": [list(interval) for interval in self._done]}

    def restored(self, state: Mapping[str, Any]) -> Ledger:
        """A ledger of the same tickets with the state of an earlier time."""
        return Ledger.from_dict(state, lease=self._lease, fillers=self.fillers, tickets=self.tickets)

    @classmethod
    def from_dict(
        cls, state: Mapping[str, Any], *, lease: int, fillers: bool = False, tickets: int | None = None
    ) -> Ledger:
        """Rebuild a ledger of which nothing is held.

        `{"tickets": n, "done": [[0, k]]}` is what one machine has after `k` steps. `tickets`, when given, replaces the
        number in `state`, for a run that is to go on longer. Raises `ArtifactError` when `state` is not of this form.
        """
        try:
            total = int(state["tickets"]) if tickets is None else tickets
            done = [(int(first), int(end)) for first, end in state["done"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"A ledger of tickets cannot be {state!r:.200}: expected tickets: n, done: [[first, end], …]. "
                "The checkpoint's stamp is damaged: delete that checkpoint to go on from the one before."
            ) from error
        ledger = cls(total, lease=lease, fillers=fillers)
        for first, end in done:
            if not 0 <= first < end <= total:
                raise ArtifactError(
                    f"A ledger of {total:,} tickets cannot have done tickets {first:,} to {end - 1:,}. Was the run "
                    "trained for more steps, or with other batches? Train a new run (run=new)."
                )
            ledger._done.add(first, end)
            ledger._free.remove(first, end)
        return ledger


def _leases(intervals: Intervals) -> list[Lease]:
    return [Lease(first, end - first) for first, end in intervals]
