"""What a run begins from: the settings that were changed, and the log's files with their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from ctrkit.commands.configuration import initialized, load_config, typed_overrides
from ctrkit.commands.over_seeds import siblings
from ctrkit.commands.run_origin import changed_settings, chosen_experiment, data_facts
from ctrkit.records import Split, prepare
from ctrkit.schema import Schema


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_settings_that_differ_from_the_experiments_are_found() -> None:
    config = load_config(["experiment=criteo", "model.dim=32", "seed=3", "run=new", "tracking.uri=http://x"])
    assert chosen_experiment() == "criteo"
    assert changed_settings(config) == {"seed": {"value": 3, "default": 0}, "model.dim": {"value": 32, "default": 16}}


def test_another_choice_shows_its_settings() -> None:
    found = changed_settings(load_config(["experiment=criteo", "model=dcn_v2"]))
    assert found["model._target_"]["default"].endswith("wide_deep")
    assert found["model._target_"]["value"].endswith("dcn_v2")


def test_without_an_experiment_the_chosen_files_are_the_default() -> None:
    config = load_config(["data=files", "data.path=log.csv", "model=dcn_v2"])
    assert chosen_experiment() is None
    assert changed_settings(config) == {"data.path": {"value": "log.csv", "default": None}}


def test_nothing_is_changed_by_an_experiment_alone() -> None:
    assert changed_settings(load_config(["experiment=adult"])) == {}


def test_a_hydra_that_runs_is_left_as_it_was() -> None:
    """As in a multirun, whose next jobs it composes."""
    config = load_config(["experiment=criteo", "model.dim=32"])
    words = typed_overrides()
    with initialized():
        running = GlobalHydra.instance().hydra
        assert changed_settings(config)
        assert GlobalHydra.instance().hydra is running
        assert typed_overrides() == words


def test_files_are_summed_once_and_not_when_they_changed_since(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("clicked,ad\n" + "".join(f"{row % 2},a{row % 5}\n" for row in range(100)))
    schema = Schema.from_dict({"format": "csv", "label": "clicked", "features": {"ad": {"kind": "categorical"}}})
    prepared = prepare(schema, log, tmp_path / "work", split=Split(by="order"))
    (file,) = data_facts(prepared, tmp_path / "work")["files"]
    assert file["sha256"] == hashlib.sha256(log.read_bytes()).hexdigest()
    before = os.stat(log)
    log.write_bytes(b"x" * before.st_size)
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))  # As if nothing had happened: it is not read again.
    assert data_facts(prepared, tmp_path / "work")["files"] == [file]
    (tmp_path / "work" / "log_checksums.json").unlink()
    log.write_bytes(b"y" * (before.st_size + 1))
    facts = data_facts(prepared, tmp_path / "work")
    assert facts["files"] == [{**file, "sha256": None}]  # What was read is no longer there to be summed.
    assert facts["parts"]["test"]["rows"] == 10
    assert facts["fingerprint"] == prepared.fingerprint


def test_runs_that_differ_in_their_seed_alone_are_told_together(tmp_path: Path) -> None:
    import json

    import yaml

    def run(name: str, seed: int, *, dim: int = 8, records: str = "r", status: str = "finished") -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        model = {"dim": dim, "seed": seed, **({"came_later": None} if seed else {})}
        config = {"seed": seed, "name": "x", "model": model, "training": {"seed": seed}, "run": name}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "run.json").write_text(json.dumps({"status": status, "fingerprint": "f", "records": records}))
        (folder / "evaluation_test.json").write_text(json.dumps({"metrics": {"auc": 0.7 + seed / 100}}))
        return folder

    first = run("a", 0)
    run("b", 1)
    run("c", 1)  # The same seed again: the newer one counts.
    run("d", 2, dim=16)
    run("e", 3, records="others")
    run("f", 4, status="failed")
    run("g", 5)
    run("h", 0)
    found = siblings(first, "test")
    assert {name: one["seed"] for name, one in found.items()} == {"a": 0, "c": 1, "g": 5}
    assert siblings(first, "validation") == {}
