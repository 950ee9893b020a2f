"""`ctrkit new` lays out a project whose every file is meant to be used as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from ctrkit.commands.configuration import load_config
from ctrkit.commands.instantiating import make
from ctrkit.commands.main import choices, main
from ctrkit.commands.prepare import log_files
from ctrkit.commands.project_files import Project
from ctrkit.commands.workspace import hint, plain
from ctrkit.schema import Schema
from tests.sketching.logs import ROWS, clicks


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log in it, and nothing else."""
    monkeypatch.chdir(tmp_path)
    clicks().write_csv(tmp_path / "clicks.csv")
    return tmp_path


def test_the_project_s_experiment_is_meant_without_a_word(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["new", "shop", "log=clicks.csv"]) == 0
    monkeypatch.chdir(here / "shop")
    config = load_config([])
    assert (config.name, config.work_dir) == ("shop", "artifacts/shop")
    assert [path.resolve() for path in log_files(config)] == [here / "clicks.csv"]
    schema = Schema.from_dict(plain(config.schema))
    assert (str(schema.label), make(config.data.split).by) == ("clicked", "time")
    assert make(config.training).batch_size * 25 < ROWS
    assert hint(config) == ""
    assert hint(load_config(["experiment=quickstart"])) == "experiment=quickstart"


def test_every_choice_of_the_project_composes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["new", "shop", "log=clicks.csv"]) == 0
    monkeypatch.chdir(here / "shop")
    for file in Path("conf").glob("*/*.yaml"):
        assert load_config([f"{file.parent.name}={file.stem}"]).name == "shop"
    assert load_config(["model=own"]).model._target_ == "models.own_model"
    assert set(choices("model")) >= {"own", "baseline", "deepfm"}


def test_no_template_is_left_half_filled_in(here: Path) -> None:
    assert main(["new", "shop", "log=clicks.csv"]) == 0
    files = [path for path in (here / "shop").rglob("*") if path.is_file()]
    assert len(files) >= 12
    for file in files:
        assert "{{" not in file.read_text().replace("f'{", "")
        assert "NAME" not in file.name
    assert (here / "shop" / ".gitignore").is_file()
    notebook = json.loads((here / "shop" / "notebooks" / "explore.ipynb").read_text())
    assert not any(cell.get("outputs") for cell in notebook["cells"])


def test_what_is_there_is_left_as_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "shop").mkdir()
    (here / "shop" / "mine.txt").write_text("mine")
    assert main(["new", "shop", "log=clicks.csv"]) == 1
    assert "shop is there already, and is left as it is" in capsys.readouterr().err
    assert [path.name for path in (here / "shop").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("words", [["log=absent.csv"], ["log=clicks.csv", "label=nothing"]])
def test_a_project_that_cannot_be_finished_leaves_nothing(here: Path, words: list[str]) -> None:
    assert main(["new", "shop", *words]) == 1
    assert [path.name for path in here.iterdir()] == ["clicks.csv"]


def test_a_name_becomes_one_that_files_and_models_may_have(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "below/My Shop-2", "log=clicks.csv"]) == 0
    made = here / "below" / "my_shop_2"
    settings = yaml.safe_load((made / "conf" / "experiment" / "my_shop_2.yaml").read_text())
    assert settings["name"] == "my_shop_2"
    assert settings["data"]["path"] == str(here / "clicks.csv")  # Not beside it, so by its whole path.
    assert main(["new", "123", "log=clicks.csv"]) == 1
    assert "begins with a letter" in capsys.readouterr().err
    assert main(["new", "criteo", "log=clicks.csv"]) == 1
    assert "ctrkit has an experiment 'criteo' of its own" in capsys.readouterr().err


def test_slips_of_the_command_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "shop", "lgo=clicks.csv"]) == 1
    assert "takes no 'lgo'. Did you mean 'log'?" in capsys.readouterr().err
    assert main(["new", "log=clicks.csv"]) == 1
    assert "Type: ctrkit new NAME log=clicks.csv" in capsys.readouterr().err


def test_without_a_log_one_is_made(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["new", "playground", "rows=5000"]) == 0
    monkeypatch.chdir(here / "playground")
    assert log_files(load_config([])) == [Path("clicks.csv")]
    assert "/clicks.csv" in Path(".gitignore").read_text().splitlines()


@pytest.mark.parametrize("rows", [100, 4_000, 100_000, 10**9])
def test_an_epoch_has_steps_enough_to_learn_from(rows: int) -> None:
    project = Project(name="a", title="a", log="a", rows=rows, by_time=False, schema="")
    assert 64 <= project.batch_size <= 4096
    assert project.batch_size == 64 or 0.8 * rows / project.batch_size >= 100


def test_a_folder_that_came_up_meanwhile_stays(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Project.write

    def slowly(self: Project, folder: Path) -> None:
        write(self, folder)
        os.mkdir(here / "shop")
        (here / "shop" / "theirs.txt").write_text("theirs")

    monkeypatch.setattr(Project, "write", slowly)
    assert main(["new", "shop", "log=clicks.csv"]) == 1
    assert {path.name for path in here.iterdir()} == {"clicks.csv", "shop"}
    assert [path.name for path in (here / "shop").iterdir()] == ["theirs.txt"]
