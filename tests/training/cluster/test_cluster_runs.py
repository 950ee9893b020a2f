"""Real clusters of processes over a small log: the same model as on one machine, over kills and slow workers."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.commands.configuration import load_config
from ctrkit.commands.main import main
from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.launch.local_cluster import LocalCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts with a prepared log of 24,000 rows."""
    folder = tmp_path_factory.mktemp("artifacts")
    assert main(["prepare", *words(folder)]) == 0
    return folder


def words(root: Path, *more: str) -> list[str]:
    """`ctrkit train` on the log: 60 steps an epoch."""
    return [
        "experiment=quickstart",
        f"root={root}",
        "data.build.rows=24000",
        "model.hidden=[16]",
        "model.click_rates=10",
        "training.batch_size=320",
        "training.early_stopping=null",
        *more,
    ]


class Cluster:
    """One run on a cluster that the test may disturb."""

    def __init__(self, root: Path, name: str, *more: str, workers: int, ps: int = 2, **launched: Any) -> None:
        self.run_dir = Path(load_config(words(root)).work_dir) / "runs" / name
        command = [sys.executable, "-m", "ctrkit.commands.main", "train", *words(root, *more), f"run={name}"]
        self.launched = LocalCluster(
            command,
            workers=workers,
            ps=ps,
            log_dir=self.run_dir / "cluster" / "logs",
            env={"CTRKIT_QUIET": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            threads=1,
            status=self.status,
            **launched,
        )

    def status(self) -> dict[str, Any] | None:
        with DispatchClient(self.run_dir, "launcher") as client:
            try:
                return client.status(give_up=0.0)
            except TrainingError:
                return None

    def run(self, disturb: Callable[[Cluster], None] = lambda cluster: None) -> dict[str, Any]:
        """Train to the end; returns the result in `run.json`."""
        threading.Thread(target=disturb, args=(self,), daemon=True).start()
        self.launched.run()
        return dict(json.loads((self.run_dir / "run.json").read_text(encoding="utf-8"))["result"])

    def restarted(self) -> set[str]:
        """The roles that were started again."""
        return {name for name, count in self.launched.restarted.items() if count}

    def logs(self, roles: Iterable[str]) -> str:
        """The ends of what they wrote."""
        return "\n".join((self.launched.log_dir / f"{role}.log").read_text(errors="replace")[-5000:] for role in roles)

    def wait_for_step(self, step: int) -> None:
        """Until the global step is that far, and the chief trains."""
        while True:
            status = self.status() or {}
            trains = status.get("roles", {}).get("chief-0", {}).get("state") == "training"
            if trains and status["cluster"].get("step", 0) >= step:
                return
            time.sleep(0.05)

    def wait_for_a_save(self) -> None:
        """Until a checkpoint is being written."""
        while not any((self.run_dir / "checkpoints").glob("*_temp")):
            time.sleep(0.0005)


def tensors(run_dir: Path) -> dict[str, np.ndarray]:
    """All of the newest checkpoint, split tables put together."""
    newest = max((run_dir / "checkpoints").glob("*.index"), key=lambda path: path.stat().st_mtime)
    reader = tf.train.load_checkpoint(str(newest).removesuffix(".index"))
    parts: dict[str, dict[int, np.ndarray]] = {}
    for name in reader.get_variable_to_shape_map():
        whole, _, part = name.partition("/part_")
        parts.setdefault(whole, {})[int(part or 0)] = np.asarray(reader.get_tensor(name))
    return {name: _put_together(found) for name, found in parts.items()}


def _put_together(parts: dict[int, np.ndarray]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    whole = np.empty((sum(map(len, parts.values())), *parts[0].shape[1:]), parts[0].dtype)
    for number, part in parts.items():
        whole[number :: len(parts)] = part
    return whole


def test_one_synchronous_worker_trains_what_one_machine_trains(root: Path) -> None:
    steps = "training.max_steps=100"
    alone = Path(load_config(words(root)).work_dir) / "runs" / "alone"
    assert main(["train", *words(root, steps, "training.epochs=2", "tracking=none"), "run=alone"]) == 0
    cluster = Cluster(
        root, "cluster", "training=sync_ps", steps, "training.epochs=2", "tracking=none", workers=1, evaluator=False
    )
    assert cluster.run()["steps"] == 100
    placement = json.loads((cluster.run_dir / "cluster" / "placement.json").read_text(encoding="utf-8"))
    assert set(placement["actual"].values()) == {0, 1}
    one, other = tensors(alone), tensors(cluster.run_dir)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, atol=1e-4, err_msg=name)


def test_a_cluster_survives_the_kill_of_each_role_and_ends_with_the_right_step(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victims = ["worker-0", "ps-1", "chief-0", "evaluator-0"]
    rng = random.Random(int(os.environ.get("CTRKIT_TEST_SEED", "0")))

    def kill(cluster: Cluster) -> None:
        for victim in victims:
            step = (cluster.status() or {}).get("cluster", {}).get("step", 0)
            cluster.wait_for_step(step + rng.randint(10, 60))
            if victim == "ps-1":  # Which then saves its part of a checkpoint.
                cluster.wait_for_a_save()
            os.kill(cluster.launched.pids()[victim], signal.SIGKILL)
            time.sleep(1)

    cluster = Cluster(
        root,
        "killed",
        "training=async_ps",
        "training.epochs=20",
        "training.checkpoint_every=50",
        workers=2,
        evaluator=True,
    )
    result = cluster.run(kill)
    assert result["steps"] == 20 * 60
    assert cluster.restarted() == set(victims), cluster.logs(cluster.restarted() - set(victims))
    assert tensors(cluster.run_dir)["global_step"] == 20 * 60
    judged = json.loads((cluster.run_dir / "evaluations.json").read_text(encoding="utf-8"))
    assert judged["evaluations"][-1]["step"] == 20 * 60
    assert (cluster.run_dir / "placement.png").is_file()

    # What was trained on two parameter servers is exported as what one machine trained.
    assert main(["export", *words(root), "run=killed", "tracking=none"]) == 0
    assert main(["verify", *words(root), "run=killed", "tracking=none"]) == 0
    capsys.readouterr()
    assert main(["rerun", *words(root), "run=killed", "tracking=none"]) == 1
    assert "Run killed was trained on a cluster, whose workers never come in the same order" in capsys.readouterr().err


@pytest.mark.turn(2)
def test_a_cluster_begins_where_a_run_of_one_machine_ended(root: Path) -> None:
    """Weights and slots go to their parameter servers, in parts; nothing but counts changes at a rate of next to 0."""
    before = Path(load_config(words(root)).work_dir) / "runs" / "before"
    assert main(["train", *words(root, "training.max_steps=20", "tracking=none"), "run=before"]) == 0
    more = [f"training.warm_start={before}", "training.max_steps=5", "tracking=none", "training=async_ps"]
    still = ["training.table_learning_rate=1e-12", "training.dense_learning_rate=1e-12"]
    cluster = Cluster(root, "after", *more, *still, workers=1, evaluator=False)
    assert cluster.run()["steps"] == 5
    one, other = tensors(before), tensors(cluster.run_dir)
    names = [name for name in one if name.count("/") == 1 and name.startswith("weights/")]
    [base] = [name for name in names if one[name].shape == ()]
    counted = [name for name in names if name != base and not np.allclose(other[name], one[name], atol=1e-6)]
    assert len(names) > 5
    assert len(counted) == 1  # Clicks of the same rows, counted by both runs.
    np.testing.assert_allclose(other[counted[0]], 2 * one[counted[0]])
    rows = 60 * 320
    clicks = (rows + 1) / (1 + np.exp(-one[base].astype(np.float64))) - 0.5  # Half a row is added to each kind.
    np.testing.assert_allclose(clicks, round(clicks), atol=0.01)
    np.testing.assert_allclose(other[base], np.log((2 * clicks + 0.5) / (2 * (rows - clicks) + 0.5)), atol=1e-6)


def test_a_synchronous_cluster_survives_the_kills_of_a_server_and_of_its_chief(root: Path) -> None:
    """A worker that waits for the answer to its gradients hears of the new chief: nobody else would end its step."""
    victims = ["ps-0", "chief-0"]

    def kill(cluster: Cluster) -> None:
        for victim in victims:
            step = (cluster.status() or {}).get("cluster", {}).get("step", 0)
            cluster.wait_for_step(step + 20)
            os.kill(cluster.launched.pids()[victim], signal.SIGKILL)
            time.sleep(1)

    more = ("training=sync_ps", "training.epochs=4", "training.checkpoint_every=30", "tracking=none")
    cluster = Cluster(root, "sync-killed", *more, workers=2, evaluator=False)
    assert cluster.run(kill)["steps"] == 4 * 60
    assert cluster.restarted() == set(victims), cluster.logs(cluster.restarted() - set(victims))
    assert tensors(cluster.run_dir)["global_step"] == 4 * 60


def test_backup_workers_make_up_for_a_slow_one(root: Path) -> None:
    seen: list[dict[str, Any]] = []

    def look(cluster: Cluster) -> None:
        while True:
            seen.append(cluster.status() or {})
            time.sleep(0.5)

    cluster = Cluster(
        root,
        "slow",
        "training=sync_ps",
        "training.epochs=5",
        "cluster.backups=1",
        "tracking=none",
        workers=3,
        evaluator=False,
        env_of={"worker-1": {"CTRKIT_STEP_DELAY": "0.5"}},
    )
    result = cluster.run(look)
    assert result["steps"] == 5 * 60
    assert result["seconds"] < 0.5 * result["steps"]  # It did not wait for the slow one in each step.
    states = {status["roles"]["worker-1"]["state"] for status in seen if "worker-1" in status.get("roles", {})}
    assert "slow" in states
    dropped = [status["cluster"]["dropped"] for status in seen if status.get("cluster")]
    assert max(value for value in dropped) > 0


def test_an_interrupted_cluster_goes_on_with_another_number_of_parameter_servers(root: Path) -> None:
    def interrupt(cluster: Cluster) -> None:
        cluster.wait_for_step(100)
        os.kill(os.getpid(), signal.SIGINT)

    more = ("training=async_ps", "training.epochs=10", "tracking=none")
    first = Cluster(root, "moved", *more, workers=2, evaluator=False)
    with pytest.raises(KeyboardInterrupt, match="go on"):
        first.run(interrupt)
    assert 100 <= int(tensors(first.run_dir)["global_step"]) < 600
    assert Cluster(root, "moved", *more, workers=1, ps=3, evaluator=False).run()["steps"] == 600


def test_a_loss_that_is_no_number_names_its_batch_and_is_never_saved(root: Path) -> None:
    cluster = Cluster(
        root,
        "nan",
        "training=async_ps",
        "training.dense_learning_rate=1e30",
        "training.epochs=2",
        "training.checkpoint_every=1",
        "tracking=none",
        workers=2,
        evaluator=False,
    )
    with pytest.raises(TrainingError, match=r"The loss became (nan|inf) at step .*dense_learning_rate"):
        cluster.run()
    assert json.loads((cluster.run_dir / "run.json").read_text(encoding="utf-8"))["status"] == "failed"
    if list((cluster.run_dir / "checkpoints").glob("*.index")):
        for name, value in tensors(cluster.run_dir).items():
            assert np.isfinite(value).all(), name


def test_a_synchronous_cluster_names_the_worker_that_does_not_come_back(root: Path) -> None:
    def freeze(cluster: Cluster) -> None:  # A killed one would be started again.
        cluster.wait_for_step(20)
        os.kill(cluster.launched.pids()["worker-0"], signal.SIGSTOP)

    cluster = Cluster(
        root,
        "gone",
        "training=sync_ps",
        "training.epochs=50",
        "tracking=none",
        "cluster.lost_after=5",
        "cluster.come_up_within=15",
        workers=2,
        evaluator=False,
    )
    with pytest.raises(TrainingError, match=r"worker-0 did not come back within 15 s, and an update needs") as caught:
        cluster.run(freeze)
    text = str(caught.value)
    assert text.startswith("chief-0 failed first: it ended with exit status 1. Its own error is no accident")
    assert "ps-0 ended" not in text  # It only heard of it.
    assert set(cluster.launched.restarted.values()) == {0}
