"""Numbers of a run and of its repetition: equal to the bit, or how far apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ctrkit.commands.reproduction import changed_data, numbers_of, surroundings, told

RUN = {"result": {"steps": 9, "samples_per_second": 1.0, "metrics": {"auc": 0.75}, "stopped_because": "epochs"}}


def write(folder: Path, run: dict[str, Any], auc: float | None, loss: float) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "history.json").write_text(json.dumps([{"step": 9, "loss": loss, "samples_per_second": 5.0}]))
    (folder / "evaluation_test.json").write_text(json.dumps({"part": "test", "metrics": {"auc": auc}}))
    return folder


def test_equal_runs_are_identical_but_for_their_speed(tmp_path: Path) -> None:
    faster = {"result": {**RUN["result"], "samples_per_second": 2.0}}
    before, now = write(tmp_path / "a", RUN, 0.7, 0.5), write(tmp_path / "b", faster, 0.7, 0.5)
    numbers = numbers_of(before, now)
    assert {one.name for one in numbers} == {
        *("training steps", "training stopped because", "validation auc", "step 9 loss", "test auc"),
    }
    assert told(numbers) == "all 5 numbers are identical to the last bit"


def test_the_furthest_number_is_told(tmp_path: Path) -> None:
    before, now = write(tmp_path / "a", RUN, 0.7, 0.5), write(tmp_path / "b", RUN, 0.7 + 1e-12, 0.625)
    assert told(numbers_of(before, now)) == "2 of 5 numbers differ, the most by 0.125 (step 9 loss)"


@pytest.mark.parametrize("auc", [None, float("nan")])
def test_a_number_that_is_gone_differs_infinitely_unless_it_never_was_one(tmp_path: Path, auc: float | None) -> None:
    before, now = write(tmp_path / "a", RUN, 0.7, 0.5), write(tmp_path / "b", RUN, auc, 0.5)
    (off,) = [one for one in numbers_of(before, now) if not one.is_equal]
    assert off.name == "test auc"
    assert not off.distance <= 1e9
    assert all(one.is_equal for one in numbers_of(now, now))


def test_surroundings_that_differ_are_sentences() -> None:
    one = {"git": {"revision": "a" * 40, "dirty": False}, "packages": {"numpy": "1"}, "machine": {"cores": 2}}
    two = {"git": {"revision": "b" * 40, "dirty": True}, "packages": {"numpy": "2"}, "machine": {"cores": 4}}
    assert surroundings(one, two) == [
        "code: commit aaaaaaaaaaaa then, bbbbbbbbbbbb now",
        "code: files that differ from the commit (now)",
        "numpy: 1 then, 2 now",
        "cores: 2 then, 4 now",
    ]
    assert surroundings(one, one) == []
    assert surroundings(None, one) == ["the run did not note its code, versions and machine"]


def test_data_that_differ_are_sentences() -> None:
    file = {"path": "/then/log.csv", "bytes": 10, "sha256": "a"}
    part = {"rows": 9, "checksum": "c"}
    before = {"files": [file], "fingerprint": "f" * 40, "parts": {"train": part}}
    moved = {"files": [{**file, "path": "/now/log.csv"}], "fingerprint": "f" * 40, "parts": {"train": part}}
    assert changed_data(before, moved) == []
    now = {
        "files": [{**file, "sha256": "b"}],
        "fingerprint": "e" * 40,
        "parts": {"train": {"rows": 8, "checksum": "d"}},
    }
    assert changed_data(before, now) == [
        "log.csv has other content (10 bytes then, 10 now)",
        "index ffffffffffff then, eeeeeeeeeeee now",
        "train records: 9 rows then, 8 now, other bytes",
    ]
