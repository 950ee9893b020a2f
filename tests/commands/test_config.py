"""`ctrkit config` shows every value and who set it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ctrkit.commands.configuration import initialized, load_config, start_name
from ctrkit.commands.layers import composed_layers, leaves
from ctrkit.commands.main import choices, groups, main
from ctrkit.commands.origins import origins
from tests.commands.test_typos import write

WORDS = [
    "training=async_ps",
    "training.epochs=5",
    "+training.table_options.beta=1",
    "model.hidden=[8,4]",
    "~verify.rows",
]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["config", "format=json", *words]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("words", [*([f"experiment={name}"] for name in choices("experiment")), WORDS])
def test_putting_the_origins_together_gives_what_hydra_composes(words: list[str]) -> None:
    config = OmegaConf.to_container(load_config(words), resolve=False)
    with initialized():
        found = origins(composed_layers(start_name(), words), words, groups())
    assert {path: origin.written for path, origin in found.items()} == dict(leaves(config))  # type: ignore[arg-type]


def test_the_last_one_who_set_a_value_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "conf" / "experiment" / "mine.yaml",
        "# @package _global_\nname: mine\ntraining: {epochs: 7, patience: 9}\n",
    )
    found = shown(capsys, "experiment=mine", "training.patience=5", "training")
    assert (found["training.patience"]["value"], found["training.patience"]["from"]) == (5, "command line")
    assert (found["training.epochs"]["value"], found["training.epochs"]["from"]) == (7, "experiment=mine")
    assert found["training.epochs"]["file"] == str(tmp_path / "conf" / "experiment" / "mine.yaml")
    assert found["training.batch_size"]["from"] == "training=local"
    assert found["training.seed"] == {**found["training.seed"], "value": 0, "interpolation": "${seed}"}
    assert all(key.startswith("training.") for key in found)


def test_people_see_the_files_and_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=criteo", "training.epochs=9", "model", "training"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["experiment=criteo", "conf/experiment/criteo.yaml", "of", "ctrkit"] for line in lines)
    assert any(line.split() == ["epochs:", "9", "command", "line"] for line in lines)
    assert any(line.split() == ["seed:", "0", "training=local", "${seed}"] for line in lines)
    assert "model:" in lines
    assert not any(line.startswith("serving:") for line in lines)


def test_a_value_that_has_to_be_given_yet_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "data=files", "data.path")["data.path"]["value"] == "???"


def test_a_part_that_is_not_there_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "trainig"]) == 1
    assert "no part 'trainig'. Did you mean 'training'?" in capsys.readouterr().err


def test_an_unknown_format_is_told_the_valid_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "format=jsn"]) == 1
    assert "format=jsn: unknown value. Did you mean 'json'?" in capsys.readouterr().err
