"""Nobody starts before the variables are there; a return to a checkpoint, or a new session, makes the old one stale."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Lease, Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from tests.training.cluster.dispatch.seen import eventually, state_of


def test_nobody_starts_before_the_chief_is_ready(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    dispatch.set_not_ready()
    one = worker()
    with pytest.raises(TrainingError, match=r"worker-0.*after 0\.1 s.*Look at its log"):
        one.wait_ready(0.1)
    assert one.lease() == "wait"
    starting, stepping = aside.submit(one.wait_ready, 5), aside.submit(one.step)
    time.sleep(0.1)
    assert not starting.done()
    assert not stepping.done()
    dispatch.set_ready(7)
    assert (starting.result(5), stepping.result(5)) == (7, "go")


def test_going_back_makes_everybody_stale(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one, other = worker(0), worker(1)
    leases = one.leases()
    assert next(leases) == (0, 4)
    assert other.lease() == Lease(4, 4)
    assert one.step() == "go"
    state = dispatch.ledger_state()
    assert one.step([(0, False)]) == "go"
    dispatch.set_not_ready()
    waiting = aside.submit(other.step)
    assert dispatch.restart_generation(state, step=0) == 2
    assert waiting.result(5) == "stale"
    with dispatch.held(0.1) as quiet:
        assert not quiet  # The step of before is still under way.
    assert one.step([(1, False)]) == "stale"
    with dispatch.held(0.1) as quiet:
        assert quiet
    assert list(leases) == []
    assert one.leases_ended == "stale"
    assert one.join().generation == 2
    assert one.wait_ready(1) == 0
    assert one.lease() == Lease(0, 4)
    assert dispatch.ledger_state() == state


def test_going_back_without_being_ready_wakes_those_that_wait(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one = worker()
    dispatch.set_not_ready()
    waiting = aside.submit(one.step)
    assert eventually(lambda: state_of(dispatch, "worker-0") == "waiting")
    dispatch.restart_generation(dispatch.ledger_state(), step=0, ready=False)
    assert waiting.result(2) == "stale"
    assert not one.join().ready
    starting = aside.submit(one.wait_ready, 5)
    dispatch.set_ready(0)
    assert starting.result(2) == 0
    assert one.step() == "go"


def test_a_new_session_gives_back_what_the_old_one_held(
    dispatch: Dispatch, worker: Callable[..., DispatchClient]
) -> None:
    one = worker()
    before = one.leases()
    assert next(before) == (0, 4)
    assert one.step() == "go"
    one.join()
    assert dispatch.in_flight() == []
    after = one.leases()
    assert next(after) == (0, 4)
    assert list(before) == []
    assert next(after) == (4, 4)


@pytest.mark.parametrize(("step", "first", "done"), [(0, (0, 4), []), (1, (1, 4), [[0, 1]])])
def test_the_global_step_tells_whether_a_lost_step_counts(
    step: int, first: tuple[int, int], done: list[list[int]]
) -> None:
    dispatch = Dispatch(Ledger(20, lease=4), options=DispatchOptions(doubts=True))
    dispatch.set_ready(0)
    one = DispatchClient.local(dispatch, "worker")
    one.join()
    assert one.lease() == Lease(0, 4)
    assert one.step() == "go"
    one.join()
    assert dispatch.doubtful == 1
    dispatch.settle(step)
    assert dispatch.doubtful == 0
    assert dispatch.ledger_state()["done"] == done
    assert one.lease() == Lease(*first)


def test_a_second_process_takes_the_place_of_the_first(
    dispatch: Dispatch, worker: Callable[..., DispatchClient]
) -> None:
    first = worker()
    assert first.lease() == Lease(0, 4)
    second = worker()
    assert second.lease() == Lease(0, 4)
    with pytest.raises(TrainingError, match=r"worker-0 was started a second time.*twice"):
        first.step([(0, False)])
    assert first.lease() == "replaced"
    with pytest.raises(TrainingError, match="started a second time"):
        first.wait_ready(1)
    first.leave()  # Harms nobody.
    assert second.step([(0, False)]) == "go"
    assert dispatch.ledger_state()["done"] == [[0, 1]]
