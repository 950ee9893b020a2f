"""Searches whose processes are killed: resumed, no trial is lost, none is counted twice, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from ctrkit.tuning import Trial, TrialFiles
from tests.commands.tiny_search import NAME, words, write_model

pytestmark = [pytest.mark.slow, pytest.mark.turn(1), pytest.mark.timeout(1200)]
LONG = ("training.epochs=15", "training.evaluate_every=5")  # Thirty evaluations.


@contextlib.contextmanager
def tune(folder: Path, typed: list[str]) -> Iterator[subprocess.Popen]:
    """`ctrkit tune` as a process, which ends with the block."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CTRKIT_QUIET": "1"}
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ctrkit.commands.main", "tune", *typed],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            for one in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
                one.kill()
            process.kill()
            process.wait()


def trials(folder: Path) -> dict[str, Trial]:
    found = list(folder.glob(f"artifacts/{NAME}/tuning/*/trials"))
    return {trial.id: trial for trial in TrialFiles(found[0].parent).all()} if found else {}


def wait_until(condition: Callable[[], object], process: subprocess.Popen, folder: Path, seconds: float = 500) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, (folder / "log.txt").read_text()[-3000:]
        assert time.monotonic() < until, (folder / "log.txt").read_text()[-3000:]
        time.sleep(0.05)


def is_half_way(trial: Trial | None) -> bool:
    """Whether it was evaluated, and therefore saved, but has not ended."""
    return trial is not None and not trial.is_over and len(trial.curve) >= 3


def nested_runs(folder: Path) -> list:
    client = MlflowClient(f"sqlite:///{folder}/artifacts/mlflow.db")
    (experiment,) = [one for one in client.search_experiments() if one.name == NAME]
    return [run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" in run.data.tags]


def test_a_search_killed_in_mid_trial_loses_no_trial(tmp_path: Path) -> None:
    typed = [*words(write_model(tmp_path)), *LONG, "tuning.keep=all"]
    with tune(tmp_path, typed) as process:
        wait_until(lambda: is_half_way(trials(tmp_path).get("0001")), process, tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = trials(tmp_path)
    assert killed["0000"].status == "completed"
    with tune(tmp_path, typed) as process:
        assert process.wait(500) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    done = trials(tmp_path)
    assert sorted(done) == ["0000", "0001"]
    assert done["0000"] == killed["0000"]  # Not trained again.
    assert done["0001"].status == "completed"
    assert done["0001"].attempts == 2
    assert done["0001"].values == killed["0001"].values
    assert [rows for rows, _ in done["0001"].curve] == sorted({rows for rows, _ in done["0001"].curve})
    assert done["0001"].curve[: len(killed["0001"].curve) - 1] == killed["0001"].curve[:-1]
    (run_file,) = tmp_path.glob(f"artifacts/{NAME}/tuning/*/trials/0001/run.json")
    assert json.loads(run_file.read_text())["result"]["resumed_from"] > 0  # From its checkpoint, not anew.
    runs = nested_runs(tmp_path)
    assert sorted(run.data.tags["ctrkit.trial"] for run in runs) == ["0000", "0001"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_launcher_and_then_a_worker_are_killed_and_no_trial_is_lost(tmp_path: Path) -> None:
    typed = [*words(write_model(tmp_path)), *LONG, "tuning.workers=2", "tuning.trials=3"]
    with tune(tmp_path, typed) as process:
        wait_until(lambda: any(is_half_way(one) for one in trials(tmp_path).values()), process, tmp_path)
        started = psutil.Process(process.pid).children(recursive=True)
        assert {one.environ().get("KERASTUNER_TUNER_ID") for one in started} >= {"chief", "tuner0", "tuner1"}
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(started, timeout=20)
        assert not alive  # They end with it.
    begun = trials(tmp_path)
    with tune(tmp_path, typed) as process:
        wait_until(lambda: sum(is_half_way(one) for one in trials(tmp_path).values()) == 2, process, tmp_path)
        running = {trial.tuner: trial for trial in trials(tmp_path).values() if not trial.is_over}
        assert set(running) == {"tuner0", "tuner1"}
        started = psutil.Process(process.pid).children(recursive=True)
        (victim,) = [one for one in started if one.environ().get("KERASTUNER_TUNER_ID") == "tuner1"]
        victim.kill()
        assert process.wait(500) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    done = trials(tmp_path)
    assert sorted(done) == ["0000", "0001", "0002"]
    assert {trial.status for trial in done.values()} == {"completed"}
    assert {trial_id: done[trial_id].values for trial_id in begun} == {one.id: one.values for one in begun.values()}
    lost = done[running["tuner1"].id]
    assert lost.attempts == running["tuner1"].attempts + 1
    assert "a worker was lost and started again (tuner1: killed by SIGKILL)" in (tmp_path / "log.txt").read_text()
    assert sorted(run.data.tags["ctrkit.trial"] for run in nested_runs(tmp_path)) == ["0000", "0001", "0002"]
    assert not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
