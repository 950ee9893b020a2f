"""Real processes are killed and stopped; the tickets are done once all the same."""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.service import serve_dispatch

HERE = Path(__file__).parent


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """A function that starts one of the scripts beside this file; none outlives the test."""
    with contextlib.ExitStack() as started:

        def begin(script: str, *arguments: Any) -> subprocess.Popen:
            command = [sys.executable, HERE / script, tmp_path, *arguments]
            process = subprocess.Popen([str(word) for word in command], cwd=HERE.parents[3])
            started.callback(process.wait)
            started.callback(process.kill)
            return process

        yield begin


def lines(run_dir: Path, index: int) -> list[str]:
    path = run_dir / f"worker-{index}.log"
    return path.read_text().splitlines() if path.exists() else []


def trained(run_dir: Path, index: int) -> list[tuple[int, int]]:
    """(generation, ticket) of a worker's finished steps."""
    words = [line.split() for line in lines(run_dir, index)]
    return [(int(one), int(other)) for one, other in (pair for pair in words if len(pair) == 2) if one.isdigit()]


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_workers_tickets_go_to_others_at_once(
    tmp_path: Path, start: Callable[..., subprocess.Popen], caplog: pytest.LogCaptureFixture
) -> None:
    with serve_dispatch(tmp_path, Ledger(60, lease=8), fingerprint="f") as dispatch, caplog.at_level(logging.WARNING):
        dispatch.set_ready(0)
        victim = start("worker.py", 0, 30, 20)  # Holds a permit for half a minute.
        eventually(lambda: dispatch.in_flight() == ["worker-0"])
        other = start("worker.py", 1, 0.01, 20)
        eventually(lambda: len(trained(tmp_path, 1)) > 5)
        victim.kill()  # A scheduler's wait() is not ours to do: a zombie is dead, too.
        began = time.monotonic()
        with dispatch.held(20) as quiet:
            assert quiet
        assert time.monotonic() - began < 5  # Its process is seen to be gone: no waiting for `lost_after`.
        eventually(lambda: dispatch.ledger_state()["done"] == [[0, 60]])
        assert dispatch.status()["roles"]["worker-0"]["state"] == "lost"
        dispatch.finish("finished")
        assert dispatch.wait_until_left(10) == []
        assert other.wait(10) == 0
    assert sorted(ticket for _, ticket in trained(tmp_path, 1)) == list(range(60))
    told = [record.getMessage() for record in caplog.records if "worker-0" in record.getMessage()]
    assert len(told) == 1
    assert f"(pid {victim.pid} on " in told[0]
    assert "is lost: its process ended; 8 batches that it had go to others." in told[0]


def test_a_worker_that_was_silent_too_long_has_to_join_again(
    tmp_path: Path, start: Callable[..., subprocess.Popen]
) -> None:
    options = DispatchOptions(lost_after=2.0)
    with serve_dispatch(tmp_path, Ledger(400, lease=8), fingerprint="f", options=options) as dispatch:
        dispatch.set_ready(0)
        sleeper = start("worker.py", 0, 0.02, 20)
        start("worker.py", 1, 0.02, 20)
        eventually(lambda: bool(trained(tmp_path, 0)) and bool(trained(tmp_path, 1)))
        os.kill(sleeper.pid, signal.SIGSTOP)
        eventually(lambda: dispatch.status()["roles"]["worker-0"]["state"] == "lost")
        with dispatch.held(5) as quiet:
            assert quiet
        os.kill(sleeper.pid, signal.SIGCONT)
        eventually(lambda: lines(tmp_path, 0).count("joined 1") == 2)
        eventually(lambda: dispatch.ledger_state()["done"] == [[0, 400]])
        dispatch.finish("finished")
        assert sleeper.wait(10) == 0
    counts = collections.Counter(ticket for index in (0, 1) for _, ticket in trained(tmp_path, index))
    assert set(counts) == set(range(400))
    assert counts.total() <= 401  # The step in which it was stopped may have been done twice, no more.


def test_a_killed_chief_comes_back_at_another_port_and_the_work_goes_on(
    tmp_path: Path, start: Callable[..., subprocess.Popen]
) -> None:
    tickets = 400
    chief = start("chief.py", tickets, 0.2)
    workers = [start("worker.py", index, 0.01, 30) for index in range(2)]
    ports = []
    for generation in (1, 2):
        before = _saved(tmp_path)
        eventually(lambda before=before: _saved(tmp_path) > before)
        eventually(lambda joined=f"joined {generation}": all(joined in lines(tmp_path, index) for index in range(2)))
        ports.append(json.loads((tmp_path / "cluster/dispatch.json").read_text())["port"])
        chief.send_signal(signal.SIGKILL)
        chief.wait()
        time.sleep(0.3)  # Meanwhile the workers find nobody.
        chief = start("chief.py", tickets, 0.2)
    assert chief.wait(60) == 0
    assert [worker.wait(20) for worker in workers] == [0, 0]
    assert json.loads((tmp_path / "cluster/dispatch.json").read_text())["generation"] == 3
    assert len(set(ports)) == 2
    steps = [one for index in range(2) for one in trained(tmp_path, index)]
    assert {ticket for _, ticket in steps} == set(range(tickets))
    for generation in (1, 2, 3):  # What a generation trains, it trains once.
        done = [ticket for one, ticket in steps if one == generation]
        assert len(done) == len(set(done)) > 0
    for index in range(2):
        assert [line for line in lines(tmp_path, index) if line.startswith("joined")] == [
            "joined 1", "joined 2", "joined 3",
        ]  # fmt: skip


def test_a_chief_that_stays_away_ends_the_worker_with_a_reason(
    tmp_path: Path, start: Callable[..., subprocess.Popen], capfd: pytest.CaptureFixture[str]
) -> None:
    chief = start("chief.py", 10_000, 5)
    worker = start("worker.py", 0, 0.01, 1)
    eventually(lambda: bool(trained(tmp_path, 0)))
    chief.kill()
    assert worker.wait(20) == 1
    assert "TrainingError: No answer from the chief for 1 s; looked at 127.0.0.1:" in capfd.readouterr().err


def test_a_restarted_worker_takes_its_own_place(tmp_path: Path, start: Callable[..., subprocess.Popen]) -> None:
    with (
        serve_dispatch(tmp_path, Ledger(40, lease=8), fingerprint="f") as dispatch,
        DispatchClient(tmp_path, "evaluator") as screen,
    ):
        dispatch.set_ready(0)
        for _ in range(3):
            worker = start("worker.py", 0, 0.05, 20)
            mine = worker.pid
            eventually(lambda mine=mine: _pid(screen) == mine and "worker-0" in dispatch.in_flight())
            time.sleep(0.15)
            worker.kill()
        last = start("worker.py", 0, 0.0, 20)
        eventually(lambda: dispatch.ledger_state()["done"] == [[0, 40]])
        dispatch.finish("finished")
        assert last.wait(10) == 0


def _saved(run_dir: Path) -> int:
    """Tickets done in the chief's saved state."""
    path = run_dir / "ledger.json"
    return sum(end - first for first, end in json.loads(path.read_text())["done"]) if path.exists() else 0


def _pid(screen: DispatchClient) -> int | None:
    return screen.status()["roles"].get("worker-0", {}).get("pid")
