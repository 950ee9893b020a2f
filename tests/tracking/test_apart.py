"""A store behind a process of its own does what one inside does, and its end is a store that is down."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from matplotlib.figure import Figure

from ctrkit.errors import TrackingError
from ctrkit.tracking import ApartStore, TrackingOptions, locate, start_run, store_apart

PROMPT = TrackingOptions(flush_seconds=0.05, retry_seconds=0.1)

# A program that tracks a run as a training does; what it says is whether MLflow was imported in it.
PROGRAM = """
import sys, time
from pathlib import Path
from ctrkit.tracking import locate, start_run, store_apart
root, wait = Path(sys.argv[1]), float(sys.argv[2])
with store_apart(locate(work_root=root)) as store, start_run("apart", "run", work_root=root, store=store) as run:
    run.log_metrics({"loss": 0.5}, 3)
    print(run.run_id, flush=True)
    time.sleep(wait)
print("mlflow" in sys.modules)
"""


def holder() -> psutil.Process:
    """The one process that holds a store for this one."""
    (found,) = [one for one in psutil.Process().children() if "ctrkit.tracking.apart_process" in one.cmdline()]
    return found


@pytest.fixture(scope="module")
def store(work_root: Path) -> Iterator[ApartStore]:
    """One for several runs, as its process takes seconds to come up."""
    made = ApartStore(locate(work_root=work_root))
    made.begin()
    yield made
    helper = holder()
    made.close()
    assert not helper.is_running()


def wait_until(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_all_of_a_run_arrives(
    store: ApartStore, work_root: Path, client: Any, artifact: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert os.getpgid(holder().pid) != os.getpgid(0)  # Control-C in a terminal reaches a whole group.
    with start_run("apart", "whole", work_root=work_root, store=store) as run:
        run.log_params({"model": {"units": [8]}})
        run.log_metrics({"loss": 0.25}, 7)
        run.log_figure("empty", Figure())
        run.log_metrics({"no/good:name*": 1.0}, 7)
    logged = client.get_run(run.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.params["model.units"] == "[8]"
    assert logged.data.metrics["loss"] == 0.25
    assert artifact(str(run.run_id), "figures/empty.png").startswith(b"\x89PNG")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_the_process_warns_of_is_logged_here(
    store: ApartStore, work_root: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with start_run("apart", "deleted", work_root=work_root) as first:
        pass
    client.delete_run(first.run_id)
    with start_run("apart", "deleted", work_root=work_root, run_id=first.run_id, store=store):
        pass
    assert f"{first.run_id} is no longer in" in caplog.text


def test_an_error_is_that_of_a_store_inside(store: ApartStore, work_root: Path, client: Any) -> None:
    experiment_id = client.create_experiment("gone too")
    client.delete_experiment(experiment_id)
    with pytest.raises(TrackingError, match=rf"--experiment-id {experiment_id}"):
        start_run("gone too", "run", work_root=work_root, store=store)


def test_another_store_than_the_run_s_is_refused(work_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=f"open store sqlite.*{tmp_path.name}.*expected sqlite"):
        start_run("apart", "run", work_root=work_root, store=ApartStore(locate(work_root=tmp_path)))


def test_a_process_that_is_killed_is_started_again_and_the_run_is_whole(
    store: ApartStore, work_root: Path, tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with start_run("apart", "killed", work_root=work_root, run_dir=tmp_path, store=store, options=PROMPT) as run:
        run.log_metrics({"loss": 1.0}, 1)
        first = holder()
        first.kill()
        run.log_metrics({"loss": 0.5}, 2)
        wait_until(lambda: "answers again" in caplog.text)
        run.log_metrics({"loss": 0.25}, 3)
    lost, _found = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "The process that speaks to tracking store sqlite" in lost
    history = client.get_metric_history(run.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_program_that_tracks_this_way_imports_no_mlflow_and_leaves_no_process(work_root: Path, client: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(work_root), "0"], capture_output=True, text=True, check=True
    )
    run_id, imported = done.stdout.split()
    assert imported == "False"
    assert client.get_run(run_id).data.metrics == {"loss": 0.5}
    assert client.get_run(run_id).info.status == "FINISHED"
    with store_apart(locate(work_root=work_root)) as store:
        assert store is None  # MLflow is imported here: the fixture did.


@pytest.mark.slow
def test_kill_9_of_the_program_ends_its_process_too(work_root: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(work_root), "60"], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        assert program.stdout.readline().strip()
        (child,) = psutil.Process(program.pid).children()
        os.kill(program.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([child], timeout=30)
        assert not alive
    finally:
        program.kill()
        program.wait()
