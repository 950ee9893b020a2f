"""A parameter server ends with the training, and says by its exit status whether that was trained."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.train_task import run_task
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from ctrkit.training.cluster.task import Task


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def task() -> Task:
    hosts = {"chief": ("127.0.0.1:1",), "ps": (f"127.0.0.1:{free_port()}",)}
    return Task(role="ps", index=0, cluster=hosts)


def play(root: Path, task: Task, status: str, reason: str) -> None:
    """Play the role of `task` while a chief ends the training so."""
    config = load_config(["experiment=quickstart", f"root={root}", "training=async_ps", "run=one"])
    run_dir = Path(config.work_dir) / "runs" / "one"
    with ThreadPoolExecutor() as aside:
        with serve_dispatch(run_dir, Ledger(1, lease=1), fingerprint="f") as dispatch:
            playing = aside.submit(run_task, config, task)
            dispatch.wait_for_roles([("ps", 0)], 20)
            dispatch.finish(status, reason)
        playing.result(20)


def test_a_trained_run_ends_it_well(tmp_path: Path, task: Task) -> None:
    play(tmp_path, task, "trained", "")


@pytest.mark.parametrize(("status", "reason"), [("stopped", "SIGTERM"), ("failed", "TrainingError: nothing left")])
def test_an_untrained_run_ends_it_with_a_status_of_its_own(
    tmp_path: Path, task: Task, status: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        play(tmp_path, task, status, reason)
    assert ended.value.code == os.EX_TEMPFAIL == 75
    assert f"ps-0: the chief ended the training: {status} ({reason})" in capsys.readouterr().err
