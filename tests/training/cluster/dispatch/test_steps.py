"""Workers ask before each step: what they did counts, and shows."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctrkit.errors import ConfigError, TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.ledger import Lease, Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from tests.training.cluster.dispatch.seen import eventually, state_of


def test_joining_tells_what_the_chief_gave(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    joined = worker().join()
    assert (joined.generation, joined.info, joined.ready, joined.end) == (1, {"mode": "async"}, True, None)


def test_steps_acknowledge_tickets_and_show_on_the_screen(
    dispatch: Dispatch, worker: Callable[..., DispatchClient]
) -> None:
    one, other = worker(0), worker(1)
    assert (one.lease(), other.lease()) == (Lease(0, 4), Lease(4, 4))
    assert one.step() == "go"
    assert one.step([(0, False)], {"samples": 32, "loss": 0.7}) == "go"
    assert one.step([(1, True), (2, False)], {"samples": 32, "loss": 0.6}) == "go"
    dispatch.note(step=2, steps=10, checkpoint_step=1)
    status = json.loads(json.dumps(one.status()))
    assert status["cluster"].items() >= {
        "step": 2, "steps": 10, "checkpoint_step": 1, "tickets": 10, "tickets_done": 2, "dropped": 1, "stray": 0,
    }.items()  # fmt: skip
    row = status["roles"]["worker-0"]
    assert (row["steps"], row["dropped"], row["loss"], row["state"]) == (3, 1, 0.6, "training")
    assert row["samples_per_second"] > 0
    assert status["roles"]["worker-1"]["state"] == "starting"
    assert other.lease() == Lease(1, 1)  # What was dropped comes first.
    assert one.step([(1, False)]) == "go"  # Not its own any more.
    assert one.status()["cluster"]["stray"] == 1


def test_a_question_that_waits_long_is_asked_again(tmp_path: Path, aside: ThreadPoolExecutor) -> None:
    options = DispatchOptions(longest_poll=0.1)
    with (
        serve_dispatch(tmp_path, Ledger(1, lease=1), fingerprint="f", options=options) as dispatch,
        DispatchClient(tmp_path, "worker") as client,
    ):
        client.join()
        stepping, ending = aside.submit(client.step, [(5, False)]), aside.submit(client.wait_end)
        time.sleep(0.5)
        assert not stepping.done()
        assert dispatch.status()["cluster"]["stray"] == 1  # Acknowledged in the first question alone.
        dispatch.set_ready(0)
        assert stepping.result(5) == "go"
        dispatch.finish("finished", "epochs")
        assert ending.result(5) == {"status": "finished", "reason": "epochs"}


def test_a_slow_worker_is_called_slow(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    clients = [worker(index) for index in range(3)]
    for step in range(6):
        for index, client in enumerate(clients):
            slow = 0.9 if index == 1 else 0.1
            client.step([], {"seconds": 5.0 if step <= 1 else slow})  # The first one compiles.
    states = {name: row["state"] for name, row in dispatch.status()["roles"].items()}
    assert states == {"worker-0": "training", "worker-1": "slow", "worker-2": "training"}
    assert dispatch.status()["roles"]["worker-1"]["step_seconds"] == 0.9


def test_without_seconds_of_its_own_a_step_lasts_from_go_to_the_next_question(
    dispatch: Dispatch, worker: Callable[..., DispatchClient]
) -> None:
    one = worker()
    for _ in range(5):
        one.step()
        time.sleep(0.05)
    one.step()
    assert 0.05 <= dispatch.status()["roles"]["worker-0"]["step_seconds"] < 0.5  # A busy machine sleeps longer.


def test_a_question_that_makes_no_sense_is_answered_with_the_reason(
    dispatch: Dispatch, worker: Callable[..., DispatchClient]
) -> None:
    with pytest.raises(TrainingError, match=r"INVALID_ARGUMENT.*not_a_number"):
        worker()._ask("lease", incarnation="", generation=1, not_a_number=3)


def test_asking_costs_little(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    one, times = worker(), []
    for _ in range(300):
        start = time.perf_counter()
        one.step([(0, False)], {"samples": 4096, "loss": 0.5})
        times.append(time.perf_counter() - start)
    print(f"one step over loopback: {statistics.median(times) * 1e6:.0f} µs")
    assert statistics.median(times) < 0.02


def test_heartbeats_tell_state_and_stats(dispatch: Dispatch, tmp_path: Path) -> None:
    with DispatchClient(tmp_path, "evaluator") as client, Heartbeats(client, every=0.05) as beats:
        assert eventually(lambda: "evaluator-0" in dispatch.status()["roles"])
        beats.say("evaluating", auc=0.75)
        assert eventually(lambda: state_of(dispatch, "evaluator-0") == "evaluating")
        assert dispatch.status()["roles"]["evaluator-0"]["stats"] == {"auc": 0.75}
        dispatch.finish("finished")
        assert eventually(lambda: client.end is not None)


@pytest.mark.parametrize(("name", "value"), [("lost_after", 0), ("slow_factor", 1), ("longest_poll", -1)])
def test_options_that_cannot_be_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: got {value}"):
        DispatchOptions(**{name: value})
