"""`--multirun` runs every combination in a process of its own, and one that fails takes no other with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.main import main
from ctrkit.commands.sweep import _at_once, _compose, _need_apart, _table
from ctrkit.errors import ConfigError
from tests.end_to_end.conftest import CTRKIT

SECONDS = 1_000  # Bounds a sweep that hangs.


def test_a_slip_is_told_before_any_job_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, told in (
        (["model=wide_deep,depfm"], "No model 'depfm'. Did you mean 'deepfm'?"),
        (["seed=1,2", "training.epoch=3"], "No key 'training.epoch'. Did you mean 'training.epochs'?"),
        (["seed=1"], "nothing to run over"),
        (["seed=interval(1,2)"], "an interval has no list of values"),
        (["seed=1,2", "run=mine"], "all jobs of a sweep would be this one run"),
        (["seed=1,2", "sweep.jobs=0"], "expected how many jobs may run at once"),
    ):
        assert main(["train", "--multirun", *words]) == 1
        assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("artifacts/*/*/*/log.txt"))


def test_jobs_with_records_of_their_own_are_kept_apart() -> None:
    assert not _need_apart(_compose([], [["seed=1", "seed=2"], ["model=deepfm", "model=dcn_v2"]]))
    assert not _need_apart(_compose([], [["experiment=criteo", "experiment=quickstart"]]))  # Each has its own folder.
    assert _need_apart(_compose(["experiment=quickstart"], [["data.split.seed=1", "data.split.seed=2"]]))


def test_few_jobs_run_at_once_unless_told() -> None:
    assert 1 <= _at_once(None) <= 2
    assert _at_once(load_config(["sweep.jobs=5"]).sweep.jobs) == 5
    with pytest.raises(ConfigError, match=r"sweep\.jobs='two'"):
        _at_once("two")  # type: ignore[arg-type]


def test_the_table_names_the_best_and_the_failed() -> None:
    found = [
        {"number": 0, "run": "a", "overrides": {"seed": "1"}, "status": 0, "metrics": {"auc": 0.7}, "seconds": 3.2},
        {"number": 1, "run": "b", "overrides": {"seed": "2"}, "status": 0, "metrics": {"auc": 0.8}, "seconds": 4.0},
        {"number": 2, "run": "c", "overrides": {"seed": "3"}, "status": 1, "seconds": 1.0},
    ]
    assert [line.split() for line in _table(found).splitlines()] == [
        ["run", "seed", "auc", "seconds"],
        ["a", "1", "0.7000", "3"],
        ["b", "2", "0.8000", "4", "best"],
        ["c", "3", "-", "1", "failed"],
    ]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 100)
def test_two_trainings_side_by_side_and_a_third_that_fails(tmp_path: Path) -> None:
    small = ["experiment=quickstart", "data.build.rows=4000", "model.hidden=[8]", "tracking=none"]
    words = ["train", "--multirun", *small, "training.max_steps=4,0,6", "sweep.jobs=2"]
    done = subprocess.run([*CTRKIT, *words], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    folder = next((tmp_path / "artifacts" / "sweeps").iterdir())
    outcomes = json.loads((folder / "summary.json").read_text())
    assert [one["status"] == 0 for one in outcomes] == [True, False, True]
    assert [one["overrides"] for one in outcomes] == [{"training.max_steps": n} for n in ("4", "0", "6")]
    assert "1 of 3 jobs failed; the others are done" in done.stderr
    assert "training.max_steps is 0, expected a whole number of at least 1" in done.stderr
    runs = [Path(tmp_path / one["run_dir"]) for one in outcomes if one["status"] == 0]
    assert len(set(runs)) == 2
    steps = [json.loads((run / "run.json").read_text())["result"]["steps"] for run in runs]
    assert steps == [4, 6]
    begun = [line for line in done.stdout.splitlines() if ": begins; " in line]
    assert sorted(line[:5] for line in begun) == ["[1/3]", "[2/3]", "[3/3]"]
    assert "validation auc" not in done.stdout  # What the jobs print goes to their own files,
    assert "validation auc" in Path(outcomes[2]["log"]).read_text()
    table = done.stdout[done.stdout.index("  run ") :]
    assert f"{outcomes[2]['metrics']['auc']:.4f}" in table  # and the screen ends with a table.
    assert "run=" + max(outcomes, key=lambda one: one.get("metrics", {}).get("auc", 0))["run"] in table
