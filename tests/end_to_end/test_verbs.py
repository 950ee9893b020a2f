"""The verbs, each in a process of its own, on what the one before it wrote."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
import tensorflow as tf

from tests.end_to_end.conftest import Project

pytestmark = pytest.mark.slow


def test_training_beats_chance_by_far_and_writes_figures(trained: Project) -> None:
    found = json.loads((trained.run_dir / "evaluation_test.json").read_text())["metrics"]
    assert found["auc"] > 0.65
    assert 0.8 < found["pcoc"] < 1.25
    assert (trained.run_dir / "test_roc.png").stat().st_size > 5_000


def test_preparing_again_finds_nothing_to_do(trained: Project) -> None:
    before = (trained.work / "prepared.json").read_bytes()
    start = time.monotonic()
    trained.ctrkit("prepare")
    assert time.monotonic() - start < 20
    assert (trained.work / "prepared.json").read_bytes() == before


def test_verify_replays_rows_on_every_path(trained: Project) -> None:
    out = trained.ctrkit("verify", "verify.rows=500").stdout
    for path in ("serving_default", "rank", "named", "server"):
        assert path in out


def test_serve_announces_itself_and_rank_finds_it(trained: Project) -> None:
    server = trained.start("serve", "serving.port=0", "serving.rest_port=0")
    try:
        known = trained.work / "server.json"
        deadline = time.monotonic() + 60
        while not known.exists():
            assert server.poll() is None, server.stdout.read()  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        out = trained.ctrkit("rank", "serving.ads=20").stdout
        assert "20 ads ranked" in out
        assert trained.run_dir.name in out
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
        assert not known.exists()
    finally:
        server.kill()
        server.wait()


def test_rank_without_a_server_says_how_to_start_one(trained: Project) -> None:
    done = trained.ctrkit("rank", check=False)
    assert done.returncode == 1
    assert "ctrkit serve experiment=quickstart" in done.stderr


def test_verbs_without_a_run_say_how_to_train(project: Project) -> None:
    for verb in ("evaluate", "export", "verify", "serve"):
        done = project.ctrkit(verb, check=False)
        assert done.returncode == 1
        assert "Train one: ctrkit train experiment=quickstart" in done.stderr


def test_a_killed_training_goes_on_and_ends_as_if_undisturbed(trained: Project, project: Project) -> None:
    project.folder.joinpath("artifacts").mkdir()
    shutil.copytree(trained.work, project.work, ignore=shutil.ignore_patterns("runs", "mlflow*"))
    words = ["training.checkpoint_every=10", "tracking=none", "run=killed"]
    training = project.start("train", *words)
    try:
        deadline = time.monotonic() + 120
        while not list(project.work.glob("runs/killed/checkpoints/*.ckpt-[1-9]*.index")):
            assert training.poll() is None, training.stdout.read()  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        training.send_signal(signal.SIGKILL)
    finally:
        training.kill()
        training.wait()
    project.ctrkit("train", *words)
    project.ctrkit("train", *[*words[:-1], "run=undisturbed"])
    ends = [weights_and_figures(project.work / "runs" / run) for run in ("killed", "undisturbed")]
    assert ends[0] == ends[1]


def weights_and_figures(run_dir: Path) -> tuple[dict[str, bytes], dict[str, float]]:
    """All that the best checkpoint holds, and what the run says of it."""
    newest = max((run_dir / "best").glob("*.index"), key=lambda path: path.stat().st_mtime)
    reader = tf.train.load_checkpoint(str(newest).removesuffix(".index"))
    tensors = {name: reader.get_tensor(name).tobytes() for name in reader.get_variable_to_shape_map()}
    assert len(tensors) > 5
    return tensors, json.loads((run_dir / "run.json").read_text())["result"]["metrics"]


def test_an_index_of_another_log_is_refused(trained: Project, project: Project) -> None:
    project.folder.joinpath("artifacts").mkdir()
    shutil.copytree(trained.work, project.work)
    project.ctrkit("prepare", "data.build.seed=7")
    done = project.ctrkit("evaluate", check=False)
    assert done.returncode == 1
    assert "fingerprint" in done.stderr or "index" in done.stderr


def test_a_mistyped_column_names_the_nearest(project: Project) -> None:
    (project.folder / "conf" / "schema").mkdir(parents=True)
    (project.folder / "conf" / "schema" / "mine.yaml").write_text(
        "label: clicked\nfeatures:\n  user: {kind: categorical, column: usr_id}\n"
    )
    (project.folder / "log.csv").write_text("clicked,user_id\n1,a\n0,b\n")
    done = project.bare("prepare", "schema=mine", "data=files", "data.path=log.csv", "name=mine")
    assert done.returncode == 1
    assert "'usr_id'" in done.stderr
    assert "Did you mean 'user_id'?" in done.stderr
    assert not (project.folder / "artifacts" / "mine" / "prepared.json").exists()
