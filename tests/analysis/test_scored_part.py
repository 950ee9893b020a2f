"""Scores kept beside a run: they come back as they were, and tell whether two runs scored the same rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ctrkit.analysis import ScoredPart, check_same_rows
from ctrkit.errors import ArtifactError

PART = ScoredPart(
    part="test",
    labels=np.array([0, 1, 1], np.float32),
    scores=np.array([0.25, 0.5, 0.75], np.float32),
    weights=None,
    groups=np.array([7, -(2**63), 7], np.int64),
    records="r1",
    log="l1",
    fingerprint="f1",
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    PART.save(tmp_path)
    found = ScoredPart.load(tmp_path, "test")
    assert [path.name for path in tmp_path.iterdir()] == ["scores_test.npz"]
    for field in dataclasses.fields(ScoredPart):
        before, after = getattr(PART, field.name), getattr(found, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            np.testing.assert_array_equal(after, before)
        else:
            assert after == before


def test_a_part_without_scores_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=rf"no scores of part 'test'.*ctrkit evaluate run={tmp_path.name} part=test"
    ):
        ScoredPart.load(tmp_path, "test")
    (tmp_path / "scores_test.npz").write_bytes(b"PK no archive")
    with pytest.raises(ArtifactError, match=r"Cannot read .*scores_test\.npz"):
        ScoredPart.load(tmp_path, "test")


def test_the_same_log_rows_under_another_index_are_the_same_rows() -> None:
    check_same_rows(PART, dataclasses.replace(PART, records="r2", fingerprint="f2"), names=("a", "b"))
    check_same_rows(PART, dataclasses.replace(PART, log="moved", scores=1 - PART.scores), names=("a", "b"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"part": "validation"}, "part 'test' against part 'validation'"),
        ({"labels": np.zeros(4, np.float32)}, "3 rows against 4"),
        ({"log": "l2"}, "rows of another log, or of another split of it"),
        ({"labels": np.array([1, 1, 0], np.float32)}, "other labels in 2 of 3 rows"),
    ],
)
def test_other_rows_are_refused_by_what_differs(change: dict[str, object], said: str) -> None:
    with pytest.raises(ArtifactError, match=f"Runs a and b were scored on different rows: {said}"):
        check_same_rows(PART, dataclasses.replace(PART, records="r2", **change), names=("a", "b"))
