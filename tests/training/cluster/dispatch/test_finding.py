"""Roles and their chief find each other, or say who is missing and where they looked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctrkit.errors import IndexMismatchError, TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.service import serve_dispatch


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
