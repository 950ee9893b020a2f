"""The store does not answer: one warning, training goes on, nothing is lost."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import ArtifactError, ConfigError, TrackingError
from ctrkit.tracking import TrackingOptions, locate, start_run, upload_buffered
from ctrkit.tracking.events import Buffer, Event, RunHeader


@pytest.fixture
def nobody() -> str:
    """Address of a server that is down: a port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    return folder


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def log_a_little(run: Any) -> None:
    run.log_params({"model": {"units": [8]}})
    for step in range(100):
        run.log_metrics({"loss": 1 / (step + 1)}, step)
    run.log_text("why", "notes.txt")


def test_training_goes_on_with_one_warning_that_says_what_to_type(
    nobody: str, run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with start_run("down", "a", uri=nobody, run_dir=run_dir) as run:
        log_a_little(run)
        assert run.run_id is None
    (said,) = warnings_of(caplog)
    assert f"{nobody} does not answer" in said
    assert "Training goes on" in said
    assert f"ctrkit upload {run_dir}/tracking" in said
    assert (run_dir / "tracking" / "events.jsonl").is_file()


def test_what_was_kept_is_uploaded_as_the_whole_run(
    nobody: str, run_dir: Path, work_root: Path, client: Any, artifact: Any
) -> None:
    run = start_run("down", "uploaded", uri=nobody, run_dir=run_dir)
    log_a_little(run)
    run.fail(ValueError("boom"))
    run_id = upload_buffered(run_dir, uri=locate(work_root=work_root).uri)
    found = client.get_run(run_id)
    assert found.info.run_name == "uploaded"
    assert found.info.status == "FAILED"
    assert found.info.end_time - found.info.start_time < 60_000
    assert found.data.params["model.units"] == "[8]"
    assert found.data.tags["ctrkit.failure"] == "ValueError: boom"
    assert [metric.step for metric in client.get_metric_history(run_id, "loss")] == list(range(100))
    assert artifact(run_id, "notes.txt") == b"why"
    assert json.loads(artifact(run_id, "environment.json"))["packages"]
    assert list(run_dir.iterdir()) == []


def test_an_upload_that_fails_keeps_everything(nobody: str, run_dir: Path) -> None:
    with start_run("down", "a", uri=nobody, run_dir=run_dir) as run:
        log_a_little(run)
    before = (run_dir / "tracking" / "events.jsonl").read_bytes()
    with pytest.raises(TrackingError, match="does not answer"):
        upload_buffered(run_dir)
    assert (run_dir / "tracking" / "events.jsonl").read_bytes() == before


def test_an_upload_that_was_cut_short_makes_no_second_run(run_dir: Path, work_root: Path, client: Any) -> None:
    uri = locate(work_root=work_root).uri
    buffer = Buffer(run_dir / "tracking")
    header = RunHeader(experiment="cut", run_name="a", started=1, uri=uri)
    gone = {"path": "files/0/gone.txt", "folder": ""}  # Delivered, then deleted, before the kill.
    events = [Event(kind="metrics", content=[["loss", 1.0, 1, 1]]), Event(kind="file", content=gone)]
    buffer.append(header, events)
    whole = buffer.path.read_bytes()
    first = upload_buffered(run_dir)
    buffer.append(header, events)
    named = whole.replace(b'"run_id": null', f'"run_id": "{first}"'.encode())
    assert named != whole
    buffer.path.write_bytes(named + b'{"kind": "met')  # As a kill leaves it.
    assert upload_buffered(run_dir) == first
    assert [metric.value for metric in client.get_metric_history(first, "loss")] == [1.0]


def test_a_model_that_is_gone_does_not_hold_up_the_rest(
    nobody: str, run_dir: Path, work_root: Path, client: Any, tiny_index: Any, caplog: pytest.LogCaptureFixture
) -> None:
    export = run_dir / "export" / "1"
    tiny_index.save(export / "assets" / "feature_index")
    (export / "saved_model.pb").write_bytes(b"")
    with start_run("down", "gone", uri=nobody, run_dir=run_dir) as run:
        assert run.log_exported_model(export, fingerprint=tiny_index.fingerprint) is None
        run.log_metrics({"loss": 1.0})
    (export / "saved_model.pb").unlink()
    run_id = upload_buffered(run_dir, uri=locate(work_root=work_root).uri)
    assert client.get_run(run_id).data.metrics == {"loss": 1.0}
    assert f"No SavedModel at {export}" in caplog.text


def test_nothing_to_upload_is_said(run_dir: Path) -> None:
    with pytest.raises(ArtifactError, match="Nothing is left to upload"):
        upload_buffered(run_dir)


def test_a_file_that_is_no_buffer_is_named(run_dir: Path) -> None:
    (run_dir / "events.jsonl").write_text("what\nis this\n")
    with pytest.raises(ArtifactError, match=re.escape(str(run_dir / "events.jsonl"))):
        upload_buffered(run_dir)


def test_a_store_that_comes_up_gets_the_run_from_its_beginning(
    tmp_path: Path, run_dir: Path, caplog: pytest.LogCaptureFixture, work_root: Path
) -> None:
    blocked = tmp_path / "disk"
    blocked.write_text("a file where the store's folder should be")
    options = TrackingOptions(flush_seconds=0.05, retry_seconds=0.1)
    uri = f"sqlite:///{blocked}/mlflow.db"
    with start_run("late", "a", uri=uri, run_dir=run_dir, options=options) as run:
        run.log_metrics({"loss": 1.0}, 1)
        time.sleep(0.3)
        assert run.run_id is None
        blocked.unlink()
        blocked.mkdir()
        (blocked / "mlflow.db").write_bytes((work_root / "mlflow.db").read_bytes())
        deadline = time.monotonic() + 30
        while run.run_id is None and time.monotonic() < deadline:
            time.sleep(0.05)
        run.log_metrics({"loss": 0.5}, 2)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    assert [metric.value for metric in client.get_metric_history(run.run_id, "loss")] == [1.0, 0.5]
    assert client.get_run(run.run_id).info.status == "FINISHED"
    lost, found = warnings_of(caplog)
    assert "Training goes on" in lost
    assert "answers again" in found
    assert [path.name for path in run_dir.iterdir()] == ["tracking.json"]


def test_a_killed_run_whose_store_was_down_goes_on_as_one_run(run_dir: Path, work_root: Path, client: Any) -> None:
    blocked = run_dir.parent / "disk"
    blocked.write_text("")
    uri = f"sqlite:///{blocked}/mlflow.db"
    code = (
        "import os, signal, time\n"
        "from ctrkit.tracking import TrackingOptions, start_run\n"
        f"run = start_run('killed', 'a', uri={uri!r}, run_dir={str(run_dir)!r}, "
        "options=TrackingOptions(flush_seconds=0.05))\n"
        "run.log_metrics({'loss': 1.0}, 1)\n"
        "time.sleep(0.5)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == -9
    with start_run("killed", "a", uri=locate(work_root=work_root).uri, run_dir=run_dir) as run:
        run.log_metrics({"loss": 0.5}, 2)
    assert [metric.value for metric in client.get_metric_history(run.run_id, "loss")] == [1.0, 0.5]
    assert client.get_run(run.run_id).info.status == "FINISHED"
    experiment = client.get_experiment_by_name("killed")
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_a_store_that_hangs_does_not_hold_up_the_end(run_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as silent:  # Takes connections, answers nothing.
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        options = TrackingOptions(finish_seconds=1.0, retry_seconds=0.01, flush_seconds=0.1)
        with start_run(
            "hangs", "a", uri=f"http://127.0.0.1:{silent.getsockname()[1]}", run_dir=run_dir, options=options
        ) as run:
            run.log_metrics({"loss": 1.0}, 1)
            time.sleep(0.5)  # The thread is in its second attempt by now.
            run.log_metrics({"loss": 0.5}, 2)
        assert time.monotonic() - began < 15  # 5 s for the first probe, 1 s for the end.
    for thread in threading.enumerate():  # It hangs no longer; what it was about to do is kept already.
        if thread.name == "ctrkit-tracking":
            thread.join(10)
    header, events = Buffer(run_dir / "tracking").read()
    assert header.run_id is None
    steps = [row[2] for event in events if event.kind == "metrics" for row in event.content]
    assert steps == [1, 2]
    assert events[-1].content["status"] == "FINISHED"
    assert len(warnings_of(caplog)) == 1


def test_options_name_the_bad_one() -> None:
    with pytest.raises(ConfigError, match="`flush_seconds` is 0, expected a positive number of seconds"):
        TrackingOptions(flush_seconds=0)
