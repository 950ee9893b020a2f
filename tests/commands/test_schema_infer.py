"""`ctrkit schema infer` writes a schema that a person can mend and a verb can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.main import main
from ctrkit.commands.workspace import plain
from ctrkit.schema import Schema
from tests.sketching.logs import clicks


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    clicks().write_csv(tmp_path / "Clicks 2024.csv")
    return "Clicks 2024.csv"


def test_the_schema_is_written_where_schema_finds_it(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "infer", log]) == 0
    out = capsys.readouterr().out
    assert "label clicked" in out
    assert "schema=clicks_2024 data=files" in out
    assert Schema.from_dict(plain(load_config(["schema=clicks_2024"]).schema)).time == "ts"


def test_a_file_mended_by_hand_is_not_overwritten(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    mended = Path("mine.yaml")
    mended.write_text("label: clicked\n")
    assert main(["schema", "infer", log, "out=mine.yaml"]) == 1
    assert "mine.yaml is there already" in capsys.readouterr().err
    assert mended.read_text() == "label: clicked\n"
    assert main(["schema", "infer", log, "--out", "mine.yaml", "force=true"]) == 0
    assert "features:" in mended.read_text()


def test_a_dash_prints_it(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "infer", log, "out=-", "label=clicked"]) == 0
    assert "\nlabel: clicked # as it was given" in capsys.readouterr().out


def test_a_mistyped_key_and_a_log_that_is_not_there_are_told(log: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "infer", log, "lable=clicked"]) == 1
    assert "takes no 'lable'. Did you mean 'label'?" in capsys.readouterr().err
    assert main(["schema", "infer", "absent.csv"]) == 1
    assert "No log at absent.csv" in capsys.readouterr().err
    assert main(["schema", "infre", log]) == 2
    assert "unknown verb 'infre'. Did you mean 'infer'?" in capsys.readouterr().err
