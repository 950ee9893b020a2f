"""A worker opens one session after the other, and ends only when the chief says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster import ClusterOptions, worker
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.task import Task
from ctrkit.training.cluster.worker_loop import StaleError


@pytest.fixture
def dispatch(tmp_path: Path) -> Iterator[Dispatch]:
    with serve_dispatch(tmp_path, Ledger(8, lease=4), fingerprint="f") as dispatch:
        dispatch.set_ready(0)
        yield dispatch


@pytest.fixture
def train(dispatch: Dispatch, tmp_path: Path) -> Iterator[Callable[[Any], Future[Any]]]:
    """A function that lets worker 0 train with what plays its sessions, in a thread."""
    with (
        socket.create_server(("127.0.0.1", 0)) as ps,
        DispatchClient(tmp_path, "worker", 0) as client,
        Heartbeats(client) as beats,
        ThreadPoolExecutor() as aside,
    ):
        hosts = {"chief": ("a:1",), "worker": ("b:1", "c:1"), "ps": (f"127.0.0.1:{ps.getsockname()[1]}",)}
        task = Task(role="worker", index=0, cluster=hosts)
        cluster = ClusterOptions(mode="async", come_up_within=20)
        job = Job(model=None, prepared=None, run_dir=tmp_path, task=task, cluster=cluster)  # Sessions alone use them.
        client.join()
        yield lambda session: aside.submit(worker.train_over_losses, job, session, client, beats, steps=8)


class Reader:
    """In the place of a session: acknowledges the batches that it gets, and ends as one does when there is no more."""

    explain_nan = None

    def __init__(self) -> None:
        self.read: list[list[tuple[int, int]]] = []

    def run(self, loop: Any, client: DispatchClient) -> None:
        self.read.append([])
        for first, count in client.leases():
            self.read[-1].append((first, count))
            client.step([(ticket, False) for ticket in range(first, first + count)])


def test_one_that_waited_for_a_batch_when_the_chief_went_back_comes_again(
    dispatch: Dispatch, train: Callable[[Any], Future[Any]], tmp_path: Path
) -> None:
    before = dispatch.ledger_state()
    with DispatchClient(tmp_path, "worker", 1) as other:
        other.join()
        while other.lease() != "wait":
            pass
        session = Reader()
        trained = train(session)
        dispatch.wait_for_roles([("worker", 0)], 5)
        while not session.read:
            time.sleep(0.01)
        dispatch.restart_generation(before, step=0)
        with pytest.raises(TimeoutError):
            trained.result(0.5)  # All is trained, but the chief has not saved it yet.
        assert dispatch.ledger_state()["done"] == [[0, 8]]
        with dispatch.held(1.0) as quiet:
            assert quiet
        dispatch.finish("trained")
        assert trained.result(5) == {"status": "trained", "reason": ""}
    assert session.read == [[], [(0, 4), (4, 4)]]


def test_one_whose_sessions_never_train_gives_up(
    dispatch: Dispatch, train: Callable[[Any], Future[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FRUITLESS", 3)

    class Lost(Reader):
        def run(self, loop: Any, client: DispatchClient) -> None:
            self.read.append([])
            raise StaleError("stale")

    session = Lost()
    with pytest.raises(TrainingError, match=r"worker-0 lost its session 3 times in a row.*: stale\. Look at the logs"):
        train(session).result(10)
    assert len(session.read) == 3
