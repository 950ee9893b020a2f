"""How tasks find the run of their chief: by a file that names it, until the run is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch import rendezvous
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.rendezvous import announce, enter, find, withdraw
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from ctrkit.training.cluster.task import Task
from ctrkit.training.run_file import FINISHED, RUNNING, RunFile

CLUSTER = {"chief": ("a:1",), "worker": ("b:1",), "ps": ("c:1",)}
CHIEF, WORKER = (Task(role=role, index=0, cluster=CLUSTER) for role in ("chief", "worker"))


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "_WAIT", 0.01)
    monkeypatch.setattr(rendezvous, "_WAIT_FOR_ANSWER", 0.1)


def run_of(work_dir: Path, name: str = "first", status: str | None = None) -> Path:
    run_dir = work_dir / "runs" / name
    run_dir.mkdir(parents=True)
    if status is not None:
        RunFile(run_dir).update(status=status)
    return run_dir


@pytest.mark.parametrize("status", [None, RUNNING])  # None: the chief has not begun to train.
def test_the_others_find_the_run_that_the_chief_announced(tmp_path: Path, status: str | None) -> None:
    run_dir = run_of(tmp_path, status=status)
    announce(tmp_path, CHIEF, run_dir)
    assert find(tmp_path, WORKER, within=1.0) == run_dir


def test_a_run_is_waited_for(tmp_path: Path) -> None:
    looks = []

    def told() -> None:
        looks.append(len(looks))
        if len(looks) == 3:
            announce(tmp_path, CHIEF, run_of(tmp_path))

    assert find(tmp_path, WORKER, within=10.0, told=told).name == "first"
    assert len(looks) == 3


def test_the_newest_word_counts(tmp_path: Path) -> None:
    for name in ("first", "second"):
        announce(tmp_path, CHIEF, run_of(tmp_path, name))
    assert find(tmp_path, WORKER, within=1.0).name == "second"


def nothing_found(work_dir: Path, task: Task = WORKER) -> bool:
    with pytest.raises(TrainingError, match=r"worker-0: the chief \(a:1\) named no run in .*run-\w+\.json within 0 s"):
        find(work_dir, task, within=0.05)
    return True


def test_a_chief_that_names_no_run_is_named_after_a_while(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"See the chief's log; and check that all tasks see the same work_dir\."):
        find(tmp_path, WORKER, within=0.05)
    assert nothing_found(tmp_path)


def test_what_was_withdrawn_finished_or_said_to_another_cluster_does_not_count(tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    announce(tmp_path, CHIEF, run_dir)
    withdraw(tmp_path, CHIEF)
    withdraw(tmp_path, CHIEF)  # Nothing is there any more.
    assert nothing_found(tmp_path)

    announce(tmp_path, CHIEF, run_dir)
    assert nothing_found(tmp_path, Task(role="worker", index=0, cluster={**CLUSTER, "ps": ("d:1",)}))

    RunFile(run_dir).update(status=FINISHED)
    assert nothing_found(tmp_path)


def test_a_half_written_word_is_none(tmp_path: Path) -> None:
    announce(tmp_path, CHIEF, run_of(tmp_path))
    (path,) = (tmp_path / "cluster").glob("run-*.json")
    path.write_text('{"run": ', encoding="utf-8")
    assert nothing_found(tmp_path)


def test_a_task_enters_while_the_chief_leads(tmp_path: Path) -> None:
    with (
        serve_dispatch(tmp_path, Ledger(3, lease=1), fingerprint="f", info={"steps": 3}) as dispatch,
        DispatchClient(tmp_path, "worker") as client,
    ):
        joined = enter(client, tmp_path, within=5.0)
        assert (joined.info, joined.generation, joined.end) == ({"steps": 3}, dispatch.generation, None)
        dispatch.finish("stopped", "SIGTERM")
        assert enter(client, tmp_path, within=5.0).end == {"status": "stopped", "reason": "SIGTERM"}


def test_a_task_that_comes_after_the_run_is_finished_leaves_again(tmp_path: Path) -> None:
    RunFile(tmp_path).update(status=FINISHED)
    with DispatchClient(tmp_path, "worker") as client:
        assert enter(client, tmp_path, within=60.0).end == {"status": "trained", "reason": ""}


def test_a_chief_that_never_answers_is_an_error_after_a_while(tmp_path: Path) -> None:
    RunFile(tmp_path).update(status=RUNNING)
    with (
        DispatchClient(tmp_path, "worker") as client,
        pytest.raises(TrainingError, match=r"No answer from the chief.*no chief has written it yet"),
    ):
        enter(client, tmp_path, within=0.2)
