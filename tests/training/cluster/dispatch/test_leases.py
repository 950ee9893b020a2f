"""Batches are leased until all are done, and waited for while they may come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Lease


def test_leases_wait_while_another_may_still_lose_the_last_tickets(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one, other = worker(0), worker(1)
    got = one.leases()
    assert [next(got), next(got)] == [(0, 4), (4, 4)]
    assert other.lease() == Lease(8, 2)
    assert one.lease() == "wait"
    rest = aside.submit(list, got)
    time.sleep(0.2)
    assert not rest.done()
    other.leave(acknowledged=[(8, False)])  # And 9 is free again.
    time.sleep(0.3)
    assert one.step([(ticket, False) for ticket in range(10)]) == "go"
    assert rest.result(5) == [(9, 1)]
    assert one.leases_ended == "done"
    assert dispatch.ledger_state() == {"tickets": 10, "done": [[0, 10]]}


def test_leases_that_wait_can_be_abandoned(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one, other = worker(0), worker(1)
    while other.lease() != "wait":
        pass
    waiting = aside.submit(list, one.leases())
    time.sleep(0.2)
    one.abandon_leases()
    assert waiting.result(5) == []
