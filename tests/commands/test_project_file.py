"""A project's conf/project.yaml says what is meant when the command line does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.commands.configuration import load_config
from tests.commands.test_typos import write


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    start = "defaults:\n  - config\n  - _self_\n  - experiment: mine\n"
    write(tmp_path / "conf/project.yaml", f"{start}training: {{batch_size: 64, epochs: 5}}\n")
    write(tmp_path / "conf/experiment/mine.yaml", "# @package _global_\nname: mine\ntraining: {epochs: 7}\n")
    return tmp_path


def test_no_word_means_the_project_s_experiment(project: Path) -> None:
    config = load_config([])
    assert (config.name, config.work_dir) == ("mine", "artifacts/mine")


def test_an_experiment_overrides_the_project_and_the_command_line_both(project: Path) -> None:
    assert (load_config([]).training.epochs, load_config([]).training.batch_size) == (7, 64)
    assert load_config(["training.epochs=9"]).training.epochs == 9


def test_another_experiment_can_be_named(project: Path) -> None:
    config = load_config(["experiment=quickstart"])
    assert (config.name, config.training.batch_size) == ("quickstart", 512)
