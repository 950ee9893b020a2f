"""The end of the training reaches every role, and nothing of the service outlives it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from tests.training.cluster.dispatch.seen import state_of


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
