"""The chief lets all pause, so that it can save: holds, and gates of synchronous training."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from tests.training.cluster.dispatch.seen import eventually, state_of


def test_a_hold_begins_when_no_step_is_under_way(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one, other = worker(0), worker(1)
    assert (one.step(), other.step()) == ("go", "go")
    order = []

    def save() -> bool:
        with dispatch.held(5) as quiet:
            order.append("saving")
            time.sleep(0.2)
            order.append("saved")
        return quiet

    saving = aside.submit(save)
    time.sleep(0.1)
    assert order == []  # Both are within a step.
    waiting = aside.submit(one.step)
    time.sleep(0.1)
    assert order == []
    assert state_of(dispatch, "worker-0") == "waiting"
    other.leave()
    assert waiting.result(5) == "go"
    assert order == ["saving", "saved"]
    assert saving.result(5)


def test_a_hold_in_vain_says_that_it_is_not_quiet(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    assert worker().step() == "go"
    with dispatch.held(0.2) as quiet:
        assert not quiet
        assert dispatch.in_flight() == ["worker-0"]


def test_the_chief_holds_from_within_its_own_step_but_not_from_beside_it(
    dispatch: Dispatch, aside: ThreadPoolExecutor
) -> None:
    chief = DispatchClient.local(dispatch)
    chief.join()
    assert chief.step() == "go"
    with dispatch.held(0.2) as quiet:
        assert quiet

    def held_by_another_thread() -> bool:
        with dispatch.held(0.2) as quiet:
            return quiet

    assert not aside.submit(held_by_another_thread).result(5)
    assert chief.step() == "go"


def test_a_gate_keeps_workers_that_have_seen_its_step_but_not_the_chief(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one, chief = worker(), DispatchClient.local(dispatch)
    chief.join()
    dispatch.set_gate(5)
    assert one.step(step=4) == "go"
    waiting = aside.submit(one.step, step=5)
    assert eventually(lambda: state_of(dispatch, "worker-0") == "waiting")
    assert chief.step(step=5) == "go"
    with dispatch.held(1) as quiet:
        assert quiet
    assert not waiting.done()
    dispatch.set_gate(10)
    assert waiting.result(5) == "go"


def test_a_step_that_waits_for_its_batch_does_not_disturb_a_hold(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one, other = worker(0), worker(1)
    while other.lease() != "wait":
        pass
    assert one.step() == "go"
    batch = aside.submit(next, one.leases())
    time.sleep(0.2)
    with dispatch.held(5) as quiet:
        assert quiet
        other.join()  # Its tickets are free again, but a step with them would begin inside the hold.
        time.sleep(0.3)
        assert not batch.done()
    assert batch.result(5) == (0, 4)
    with dispatch.held(0.1) as quiet:
        assert not quiet
