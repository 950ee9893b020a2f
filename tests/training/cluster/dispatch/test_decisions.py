"""The chief decides who trains what, when all pause and when it is over; asked over real sockets."""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import ConfigError, IndexMismatchError, TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.ledger import Lease, Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.service import serve_dispatch


@pytest.fixture
def dispatch(tmp_path: Path) -> Iterator[Dispatch]:
    with serve_dispatch(tmp_path, Ledger(10, lease=4), fingerprint="f" * 64, info={"mode": "async"}) as dispatch:
        dispatch.set_ready(0)
        yield dispatch


@pytest.fixture
def worker(dispatch: Dispatch, tmp_path: Path) -> Iterator[Callable[..., DispatchClient]]:
    """A function that makes a worker which has joined."""
    with contextlib.ExitStack() as open_clients:

        def make(index: int = 0, **options: Any) -> DispatchClient:
            client = open_clients.enter_context(DispatchClient(tmp_path, "worker", index, **options))
            client.join()
            return client

        yield make


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Threads for questions that have to wait."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def state_of(dispatch: Dispatch, name: str) -> str:
    return dispatch.status()["roles"][name]["state"]


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


def test_the_end_reaches_every_role_also_those_that_ask_when_the_chief_is_gone(
    tmp_path: Path, aside: ThreadPoolExecutor
) -> None:
    with serve_dispatch(tmp_path, Ledger(10, lease=4), fingerprint="f") as dispatch:
        clients = {role: DispatchClient(tmp_path, role) for role in ("worker", "ps", "evaluator")}
        for client in clients.values():
            client.join()
        waiting = [aside.submit(clients["ps"].wait_end), aside.submit(clients["worker"].step)]
        time.sleep(0.1)
        dispatch.finish("finished", "early_stopping")
        end = {"status": "finished", "reason": "early_stopping"}
        assert [one.result(5) for one in waiting] == [end, "stop"]
        assert clients["worker"].lease() == "done"
        assert clients["worker"].wait_ready(1) is None
        assert dispatch.wait_until_left(0.2, roles=["worker", "ps"]) == ["worker-0", "ps-0"]
        clients["ps"].leave()
        clients["worker"].leave("failed")
        assert dispatch.wait_until_left(5, roles=["worker", "ps"]) == []
        assert state_of(dispatch, "worker-0") == "failed"
    evaluator = clients["evaluator"]
    assert evaluator.heartbeat("evaluating") == end
    assert (evaluator.step(), evaluator.lease(), evaluator.wait_end(), evaluator.join().end) == (
        "stop",
        "done",
        end,
        end,
    )
    assert evaluator.status()["end"] == end
    for client in clients.values():
        client.close()


def test_who_waits_for_the_end_hears_that_the_chief_went_back_instead(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    one = worker()
    waiting = aside.submit(one.wait_end, generation=one.generation)
    time.sleep(0.1)
    assert not waiting.done()
    dispatch.restart_generation(dispatch.ledger_state(), step=0)
    assert waiting.result(2) is None
    assert one.wait_end(generation=one.generation) is None  # At once.
    one.join()
    waiting = aside.submit(one.wait_end, generation=one.generation)
    dispatch.finish("trained")
    assert waiting.result(2) == {"status": "trained", "reason": ""}


def test_the_end_of_an_earlier_run_is_not_ours(tmp_path: Path, aside: ThreadPoolExecutor) -> None:
    with serve_dispatch(tmp_path, Ledger(1, lease=1), fingerprint="f") as dispatch:
        dispatch.finish("finished")
    with DispatchClient(tmp_path, "worker") as early:
        joining = aside.submit(early.join)
        time.sleep(0.3)
        with serve_dispatch(tmp_path, Ledger(1, lease=1), fingerprint="f"):
            joined = joining.result(5)
            assert (joined.end, joined.generation) == (None, 2)


def test_another_cluster_at_the_old_port_is_not_asked(tmp_path: Path) -> None:
    with serve_dispatch(tmp_path / "a", Ledger(1, lease=1), fingerprint="f"):
        pass
    port = json.loads((tmp_path / "a/cluster/dispatch.json").read_text())["port"]
    with (
        serve_dispatch(tmp_path / "b", Ledger(1, lease=1), fingerprint="f", port=port) as other,
        DispatchClient(tmp_path / "a", "worker", give_up=0.3) as client,
    ):
        with pytest.raises(TrainingError, match="another cluster's chief"):
            client.join()
        assert other.status()["roles"] == {}


def test_a_chief_that_is_gone_is_named_with_what_to_look_at(tmp_path: Path) -> None:
    with serve_dispatch(tmp_path, Ledger(1, lease=1), fingerprint="f") as dispatch:
        dispatch.set_ready(0)
        client = DispatchClient(tmp_path, "worker", give_up=0.4)
        client.join()
    port = json.loads((tmp_path / "cluster/dispatch.json").read_text())["port"]
    start = time.monotonic()
    with pytest.raises(TrainingError, match=rf"No answer from the chief for 0\.4 s.*0\.1:{port}.*last lines of its"):
        client.step()
    assert time.monotonic() - start < 3
    client.leave(give_up=0.1)  # Does not raise.
    client.close()
    with (
        DispatchClient(tmp_path / "nowhere", "worker", give_up=0.1) as lost,
        pytest.raises(TrainingError, match=r"nowhere/cluster/dispatch\.json: no chief has written it yet"),
    ):
        lost.join()


def test_a_taken_port_is_named(tmp_path: Path, dispatch: Dispatch) -> None:
    port = json.loads((tmp_path / "cluster/dispatch.json").read_text())["port"]
    with (
        pytest.raises(TrainingError, match=rf"cannot listen at 127\.0\.0\.1:{port}.*port 0"),
        serve_dispatch(tmp_path / "other", Ledger(1, lease=1), fingerprint="f", port=port),
    ):
        pass


def test_a_role_that_never_came_is_named(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    worker(0)
    with pytest.raises(TrainingError, match=r"worker-1, ps-0 did not come up within 0\.2 s.*last lines of their logs"):
        dispatch.wait_for_roles([("worker", 0), ("worker", 1), ("ps", 0)], 0.2)
    dispatch.wait_for_roles([("worker", 0)], 0)


def test_a_role_is_waited_for_until_it_comes(
    dispatch: Dispatch, worker: Callable[..., DispatchClient], aside: ThreadPoolExecutor
) -> None:
    waiting = aside.submit(dispatch.wait_for_roles, [("worker", 0)], 5)
    time.sleep(0.1)
    assert not waiting.done()
    worker(0)
    waiting.result(5)


def test_another_feature_index_is_refused(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    with pytest.raises(IndexMismatchError, match=r"worker-0 reads records of index eeee.*trains with index ffff"):
        worker(fingerprint="e" * 64)
    worker(fingerprint="f" * 64)


def test_heartbeats_tell_state_and_stats(dispatch: Dispatch, tmp_path: Path) -> None:
    with DispatchClient(tmp_path, "evaluator") as client, Heartbeats(client, every=0.05) as beats:
        assert eventually(lambda: "evaluator-0" in dispatch.status()["roles"])
        beats.say("evaluating", auc=0.75)
        assert eventually(lambda: state_of(dispatch, "evaluator-0") == "evaluating")
        assert dispatch.status()["roles"]["evaluator-0"]["stats"] == {"auc": 0.75}
        dispatch.finish("finished")
        assert eventually(lambda: client.end is not None)


def test_a_question_that_makes_no_sense_is_answered_with_the_reason(
    dispatch: Dispatch, worker: Callable[..., DispatchClient]
) -> None:
    with pytest.raises(TrainingError, match=r"INVALID_ARGUMENT.*not_a_number"):
        worker()._ask("lease", incarnation="", generation=1, not_a_number=3)


def test_no_thread_and_no_port_is_left(tmp_path: Path, aside: ThreadPoolExecutor) -> None:
    before = set(threading.enumerate())
    client = DispatchClient(tmp_path, "worker", give_up=0.2)
    with serve_dispatch(tmp_path, Ledger(1, lease=1), fingerprint="f"):
        client.join()
        waiting = aside.submit(client.step)  # Not ready: it waits.
        time.sleep(0.2)
    with pytest.raises(TrainingError):
        waiting.result(5)
    client.close()
    mine = {thread for thread in threading.enumerate() if not thread.name.startswith("ThreadPoolExecutor")}
    assert mine <= before
    port = json.loads((tmp_path / "cluster/dispatch.json").read_text())["port"]
    with serve_dispatch(tmp_path, Ledger(1, lease=1), fingerprint="f", port=port):
        pass


@pytest.mark.parametrize(("name", "value"), [("lost_after", 0), ("slow_factor", 1), ("longest_poll", -1)])
def test_options_that_cannot_be_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}: got {value}"):
        DispatchOptions(**{name: value})


def test_asking_costs_little(dispatch: Dispatch, worker: Callable[..., DispatchClient]) -> None:
    one, times = worker(), []
    for _ in range(300):
        start = time.perf_counter()
        one.step([(0, False)], {"samples": 4096, "loss": 0.5})
        times.append(time.perf_counter() - start)
    print(f"one step over loopback: {statistics.median(times) * 1e6:.0f} µs")
    assert statistics.median(times) < 0.02
