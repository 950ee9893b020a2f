"""`--extend` on the command line: the next day's log appended to the index in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ctrkit.commands.main import as_overrides, main
from ctrkit.commands.train import name_warm_start
from ctrkit.commands.verbs import VERBS
from ctrkit.errors import ArtifactError

SCHEMA = {"label": "click", "features": {"user": {"kind": "categorical", "side": "user"}, "ad": "categorical"}}


def day_of(folder: Path, day: int) -> Path:
    lines = [f"{row % 3 // 2},u{row % (5 + 3 * day)},ad{row % 7 + day}" for row in range(200)]
    path = folder / f"{day}.csv"
    path.write_text("click,user,ad\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_extend_alone_extends_what_lies_there_and_tells_growth_and_drift(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "conf" / "schema").mkdir(parents=True)
    (tmp_path / "conf" / "schema" / "mine.yaml").write_text(json.dumps(SCHEMA), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = ["prepare", "schema=mine", "data=files", "data.split.by=order", "name=mine"]
    assert main([*words, f"data.path={day_of(tmp_path, 0)}"]) == 0
    assert "extends index" not in capsys.readouterr().out
    first = json.loads(Path("artifacts/mine/prepared.json").read_text(encoding="utf-8"))
    assert main([*words, f"data.path={day_of(tmp_path, 1)}", "--extend"]) == 0
    told = capsys.readouterr().out
    second = json.loads(Path("artifacts/mine/prepared.json").read_text(encoding="utf-8"))
    assert second["extension"]["parent"] == first["fingerprint"]
    assert f"extends index {first['fingerprint'][:12]} by 160 rows" in told
    row = next(line.split() for line in told.splitlines() if line.strip().startswith("user"))
    assert row[1:3] == ["5", "3"]  # Five users known, three appended.
    assert main([*words, f"data.path={day_of(tmp_path, 2)}", "data.extend=artifacts/mine", "work_dir=elsewhere"]) == 0
    third = json.loads(Path("elsewhere/prepared.json").read_text(encoding="utf-8"))
    assert third["extension"]["parent"] == second["fingerprint"]


def test_extend_takes_a_folder_or_none() -> None:
    for verb in ("prepare", "train"):
        assert as_overrides(VERBS[verb], ["--extend"]) == ["data.extend=true"]
        assert as_overrides(VERBS[verb], ["--extend", "seed=1"]) == ["data.extend=true", "seed=1"]
        assert as_overrides(VERBS[verb], ["--extend", "some/where"]) == ["data.extend=some/where"]


def test_a_run_to_start_from_is_found_by_its_name(tmp_path) -> None:
    run = tmp_path / "mine" / "runs" / "20260101-000000-wide_deep"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("name: mine\n", encoding="utf-8")
    words = {"root": str(tmp_path), "work_dir": str(tmp_path / "mine"), "name": "mine", "run": None}
    config = OmegaConf.create({**words, "training": {"warm_start": run.name}})
    name_warm_start(config)
    assert config.training.warm_start == str(run)
    config.training.warm_start = "20260101-000000-deep"
    with pytest.raises(ArtifactError, match=r"No run '20260101-000000-deep'.*wide_deep"):
        name_warm_start(config)
