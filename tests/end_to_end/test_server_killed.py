"""The MLflow server is killed while a training tells it: the training ends well, and the rest is sent later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.judged_runs import SMALL, JudgedRuns
from tests.tracking.mlflow_server import Server, free_port

pytestmark = [pytest.mark.slow, pytest.mark.turn(3)]


def test_a_training_outlives_its_server_and_is_uploaded_whole(tmp_path: Path) -> None:
    server = Server(tmp_path, free_port())
    project = JudgedRuns(tmp_path, server.uri)
    words = ["run=told", *SMALL, "training.epochs=8", "training.log_every=10", f"tracking.uri={server.uri}"]
    training: subprocess.Popen[str] | None = None
    try:
        server.start()
        training = subprocess.Popen(
            [sys.executable, "-m", "ctrkit.commands.main", "train", *words],
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_TRACKING_URI": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        run_dir = project.run_dir("told")
        deadline = time.monotonic() + 200
        while not list(run_dir.glob("checkpoints/*.index")):  # The first evaluation, of four an epoch.
            assert training.poll() is None, training.stdout.read() if training.stdout else ""
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.stop(signal.SIGKILL)
        out, _ = training.communicate(timeout=200)
        assert training.returncode == 0, out
        assert out.count("Training goes on") == 1
        assert f"ctrkit upload {run_dir}/tracking" in out
        assert (run_dir / "tracking" / "events.jsonl").is_file()
        assert (run_dir / "card.html").is_file()
        refused = project.ctrkit("upload", small=False, check=False)
        assert refused.status == 1
        assert "does not answer" in refused.err
        server.start()
        assert f"{run_dir.relative_to(tmp_path)}: sent, run " in project.ctrkit("upload", small=False).out
        assert "nothing below artifacts waits" in project.ctrkit("upload", small=False).out
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=server.uri)
        (experiment,) = client.search_experiments(filter_string="name = 'quickstart'")
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.status == "FINISHED"
        history = json.loads((run_dir / "history.json").read_text())
        told = [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")]
        assert told == [report["step"] for report in history if "loss" in report]
        assert len(told) > 20
        page = Path(client.download_artifacts(run.info.run_id, "card/card.html", str(tmp_path)))
        assert page.read_bytes() == (run_dir / "card.html").read_bytes()
    finally:
        if training is not None and training.poll() is None:
            training.kill()
            training.wait()
        server.stop()
