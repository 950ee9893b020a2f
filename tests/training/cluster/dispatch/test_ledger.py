"""Every ticket is done exactly once, whatever happens to those who hold it."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ctrkit.errors import ArtifactError, ConfigError
from ctrkit.training.cluster.dispatch.ledger import Lease, Ledger

WORKERS = st.integers(0, 2)


class LedgerMachine(RuleBasedStateMachine):
    """Plays leases, steps, drops, deaths and restores against plain sets."""

    fillers = False

    def __init__(self) -> None:
        super().__init__()
        self.tickets = 23
        self.ledger = Ledger(self.tickets, lease=4, fillers=self.fillers)
        self.done: set[int] = set()
        self.held: dict[int, list[int]] = {}
        self.stray = 0
        self.saved = (self.ledger.to_dict(), set(self.done))

    @rule(worker=WORKERS)
    def lease(self, worker: int) -> None:
        lease = self.ledger.lease(worker)
        free = sorted(set(range(self.tickets)) - self.done - {t for held in self.held.values() for t in held})
        if lease is None:
            assert not free
            assert not self.fillers
            return
        got = list(range(lease.first, lease.first + lease.count))
        if free:
            assert got == free[: len(got)]
            assert 1 <= len(got) <= 4
        else:
            assert self.fillers
            assert got[0] >= self.tickets
            assert all(got[0] not in held for held in self.held.values())
        self.held.setdefault(worker, []).extend(got)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), dropped=st.booleans())
    def train(self, data: st.DataObject, dropped: bool) -> None:
        worker = data.draw(st.sampled_from([worker for worker, held in sorted(self.held.items()) if held]))
        ticket = data.draw(st.sampled_from(self.held[worker]))
        self.held[worker].remove(ticket)
        assert self.ledger.acknowledge(worker, ticket, dropped)
        if ticket < self.tickets and not dropped:
            assert ticket not in self.done
            self.done.add(ticket)

    @rule(worker=WORKERS, ticket=st.integers(-1, 30), dropped=st.booleans())
    def acknowledge_anything(self, worker: int, ticket: int, dropped: bool) -> None:
        if ticket not in self.held.get(worker, []):
            assert not self.ledger.acknowledge(worker, ticket, dropped)
            self.stray += 1

    @rule(worker=WORKERS)
    def die(self, worker: int) -> None:
        released = [t for lease in self.ledger.release(worker) for t in range(lease.first, lease.first + lease.count)]
        assert released == sorted(ticket for ticket in self.held.pop(worker, []) if ticket < self.tickets)

    @rule(worker=WORKERS, trained=st.booleans())
    def die_within_a_step(self, worker: int, trained: bool) -> None:
        self.ledger.release(worker, in_flight=True)
        held = [ticket for ticket in self.held.pop(worker, []) if ticket < self.tickets]
        assert self.ledger.doubtful == (1 if held else 0)
        if held and trained:
            self.done.add(min(held))
        self.ledger.settle(1 if trained else 0)

    @rule()
    def save(self) -> None:
        self.saved = json.loads(json.dumps(self.ledger.to_dict())), set(self.done)

    @rule()
    def restore(self) -> None:
        state, done = self.saved
        self.ledger = Ledger.from_dict(state, lease=4, fillers=self.fillers)
        self.done, self.held, self.stray = set(done), {}, 0

    @invariant()
    def counts_agree(self) -> None:
        assert self.ledger.done == len(self.done)
        assert self.ledger.complete == (len(self.done) == self.tickets)
        assert self.ledger.stray == self.stray
        for worker in range(3):
            held = [t for lease in self.ledger.held_by(worker) for t in range(lease.first, lease.first + lease.count)]
            assert held == sorted(self.held.get(worker, []))

    def teardown(self) -> None:
        """Whatever happened before, a worker that lives on finishes the rest, once."""
        for worker in range(3):
            self.ledger.release(worker)
        rest = []
        while not self.ledger.complete:
            lease = self.ledger.lease("the last")
            assert lease is not None
            for ticket in range(lease.first, lease.first + lease.count):
                assert self.ledger.acknowledge("the last", ticket)
                rest.append(ticket)
        assert rest == sorted(set(range(self.tickets)) - self.done)


class FillingLedgerMachine(LedgerMachine):
    fillers = True


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestFillingLedger = FillingLedgerMachine.TestCase
TestFillingLedger.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


def test_a_dropped_ticket_comes_before_those_never_leased() -> None:
    ledger = Ledger(100, lease=10)
    assert (ledger.lease("a"), ledger.lease("b")) == (Lease(0, 10), Lease(10, 10))
    ledger.acknowledge("a", 3, dropped=True)
    assert (ledger.lease("b"), ledger.lease("b")) == (Lease(3, 1), Lease(20, 10))


def test_fillers_wait_until_no_ticket_is_free_and_never_count() -> None:
    ledger = Ledger(3, lease=2, fillers=True)
    assert [ledger.lease("a") for _ in range(4)] == [Lease(0, 2), Lease(2, 1), Lease(3, 1), Lease(4, 1)]
    assert ledger.acknowledge("a", 3)
    assert ledger.acknowledge("a", 4, dropped=True)
    assert ledger.done == 0
    assert ledger.release("a") == [Lease(0, 3)]
    assert ledger.lease("b") == Lease(0, 2)


def test_one_machines_steps_make_a_ledger() -> None:
    ledger = Ledger.from_dict({"tickets": 10, "done": [[0, 4]]}, lease=3, tickets=12)
    assert (ledger.done, ledger.tickets, ledger.lease("a")) == (4, 12, Lease(4, 3))


def test_twenty_million_tickets_are_cheap() -> None:
    start = time.perf_counter()
    ledger = Ledger(20_000_000, lease=64)
    leases = [ledger.lease(number % 50) for number in range(5_000)]
    for number, lease in enumerate(leases):
        if number % 7 == 0:  # Holes everywhere.
            ledger.release(number % 50)
        for ticket in range(lease.first, lease.first + lease.count):
            ledger.acknowledge(number % 50, ticket)
    assert len(json.dumps(ledger.to_dict())) < 200_000
    assert time.perf_counter() - start < 5  # Seconds; 320,000 acknowledgements.


@given(st.integers(0, 50), st.integers(1, 60))
def test_undisturbed_leases_are_the_tickets_in_order(tickets: int, lease: int) -> None:
    ledger, got = Ledger(tickets, lease=lease), []
    while (one := ledger.lease("a")) is not None:
        got += range(one.first, one.first + one.count)
    assert got == list(range(tickets))
    assert ledger.complete == (tickets == 0)


@pytest.mark.parametrize(("tickets", "lease", "text"), [(-1, 1, "tickets: got -1"), (5, 0, "lease: got 0")])
def test_numbers_that_cannot_be_are_refused(tickets: int, lease: int, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Ledger(tickets, lease=lease)


@pytest.mark.parametrize(
    "state", [None, {}, {"tickets": 3}, {"tickets": "x", "done": []}, {"tickets": 3, "done": [[1]]}]
)
def test_a_damaged_state_is_refused(state: object) -> None:
    with pytest.raises(ArtifactError, match=r"expected tickets: n.*stamp is damaged"):
        Ledger.from_dict(state, lease=1)


def test_a_state_of_more_tickets_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"5 tickets cannot have done tickets 4 to 7.*run=new"):
        Ledger.from_dict({"tickets": 9, "done": [[4, 8]]}, lease=1, tickets=5)
