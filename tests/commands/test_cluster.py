"""`ctrkit cluster`: its verbs are found and taught; placement and manifest write what they say."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ctrkit.commands import cluster_manifest, cluster_placement
from ctrkit.commands.cluster_verbs import CLUSTER
from ctrkit.commands.configuration import load_config, typed_overrides
from ctrkit.commands.instantiating import make
from ctrkit.errors import ConfigError

CTRKIT = [sys.executable, "-m", "ctrkit.commands.main"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CTRKIT, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("verb", [one.name for one in CLUSTER.verbs])
def test_every_verb_of_cluster_has_help_with_examples_that_name_it(verb: str) -> None:
    out = run(*verb.split(), "--help").stdout
    assert f"ctrkit {verb}" in out.split("examples")[1]
    assert "cluster.ps=N" in out.split("keys")[1]


def test_cluster_alone_lists_its_verbs_in_under_half_a_second() -> None:
    assert run("cluster").stdout == run("cluster", "--help").stdout
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        out = run("cluster", "placement", "--help")
        seconds.append(time.perf_counter() - start)
        assert out.returncode == 0
    assert statistics.median(seconds) < 0.5


def test_an_unknown_verb_of_cluster_names_the_nearest() -> None:
    done = run("cluster", "manifst")
    assert done.returncode == 2
    assert "ctrkit cluster: unknown verb 'manifst'. Did you mean 'manifest'?" in done.stderr


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_training_on_parameter_servers_is_one_override(mode: str) -> None:
    local = load_config(["experiment=criteo", "training.epochs=2"])
    config = load_config(["experiment=criteo", f"training={mode}_ps", "training.epochs=2", "cluster.workers=3"])
    assert config.training == local.training
    assert (config.cluster.mode, config.cluster.workers, local.cluster.mode) == (mode, 3, "none")
    assert make(config.cluster).mode == mode


def test_words_are_remembered_as_typed() -> None:
    load_config(["experiment=criteo", "training.epochs=2"])
    assert typed_overrides() == ["experiment=criteo", "training.epochs=2"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [
        "experiment=quickstart",
        "data.build.rows=3000",
        f"root={tmp_path_factory.mktemp('root')}",
        "tracking.enabled=false",
    ]


def test_placement_prints_three_strategies_and_draws_them(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config([*words, "cluster.ps=3"])
    cluster_placement.run(config)
    out = capsys.readouterr().out
    assert "round robin" in out
    assert "classic greedy" in out
    assert "balanced splits embeddings/table (" in out
    assert "in 3 parts" in out
    (line,) = [line for line in out.splitlines() if line.startswith("largest/mean")]
    ratios = [float(cell) for cell in line.split()[1:]]
    assert len(ratios) == 6
    assert max(ratios[4:]) <= 1.05 < min(ratios[:4])
    folder = Path(config.work_dir) / "cluster"
    assert (folder / "placement.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in folder.iterdir()] == ["placement.png"]


def test_the_manifest_runs_the_words_that_were_typed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config(["training=async_ps", *words, "training=sync_ps", "cluster.ps=3", "manifest.claim=mine"])
    cluster_manifest.run(config)
    folder = Path(config.work_dir) / "cluster"
    text = (folder / "tfjob.yaml").read_text(encoding="utf-8")
    assert "&id" not in text
    job = yaml.safe_load(text)
    assert job["metadata"]["name"] == "quickstart"
    assert job["spec"]["runPolicy"]["cleanPodPolicy"] == "None"
    command = job["spec"]["tfReplicaSpecs"]["PS"]["template"]["spec"]["containers"][0]["command"]
    assert command[:-1] == [
        "ctrkit",
        "train",
        "experiment=quickstart",
        "data.build.rows=3000",
        "tracking.enabled=false",
        "training=sync_ps",
        "cluster.ps=3",
        "root=/artifacts",
    ]
    assert command[-1].startswith("run=")
    again = load_config(command[2:])  # What a task will compose.
    assert again.work_dir == "/artifacts/quickstart"
    assert (again.cluster.mode, again.cluster.ps) == ("sync", 3)
    configs = {path.stem: json.loads(path.read_text()) for path in (folder / "tf_config").iterdir()}
    assert sorted(configs) == ["chief-0", "evaluator-0", "ps-0", "ps-1", "ps-2", "worker-0"]
    assert configs["ps-2"]["task"] == {"type": "ps", "index": 2}
    assert f"kubectl apply -f {folder / 'tfjob.yaml'}" in capsys.readouterr().out


def test_a_smaller_cluster_leaves_no_task_of_a_larger_one(words: list[str]) -> None:
    for ps in (3, 1):
        config = load_config(["training=async_ps", *words, f"cluster.ps={ps}"])
        cluster_manifest.run(config)
    names = sorted(path.stem for path in (Path(config.work_dir) / "cluster" / "tf_config").iterdir())
    assert names == ["chief-0", "evaluator-0", "ps-0", "worker-0"]


def test_a_manifest_for_one_machine_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"Type training=async_ps or training=sync_ps"):
        cluster_manifest.run(load_config(words))


def test_hosts_and_resources_can_be_typed(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *CTRKIT,
            *("cluster", "manifest", f"root={tmp_path}", "manifest.resources.ps.memory=16Gi"),
            'manifest.hosts="{role}{index}.example.org:2222"',
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "CTRKIT_QUIET": "1"},
    )
    assert done.returncode == 0, done.stderr
    worker = json.loads((tmp_path / "quickstart" / "cluster" / "tf_config" / "worker-0.json").read_text())
    assert worker["cluster"]["worker"] == ["worker0.example.org:2222"]
    job = yaml.safe_load((tmp_path / "quickstart" / "cluster" / "tfjob.yaml").read_text())
    asked = {
        role: one["template"]["spec"]["containers"][0].get("resources")
        for role, one in job["spec"]["tfReplicaSpecs"].items()
    }
    memory = {"memory": "16Gi"}
    assert asked == {
        "Chief": None,
        "Worker": None,
        "PS": {"requests": memory, "limits": memory},
        "Evaluator": None,
    }
