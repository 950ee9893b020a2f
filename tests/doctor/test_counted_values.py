"""Counting in bounded memory: exact while values are few, near when they are many."""

from __future__ import annotations

import numpy as np
import pytest

from ctrkit.doctor.counted_values import CELLS, CountedValues, DistinctRows
from ctrkit.doctor.single_auc import single_auc


def counted(values: np.ndarray, most: int, chunk: int = 5_000) -> CountedValues:
    found = CountedValues(most)
    for start in range(0, len(values), chunk):
        part = values[start : start + chunk]
        distinct, counts = np.unique(part, return_counts=True)
        cells = np.zeros((len(distinct), CELLS), dtype=np.int64)
        cells[:, 0] = counts
        found.add(hashed(distinct), cells, np.full(len(distinct), start // chunk, dtype=np.int32))
        assert len(found.hashes) <= most
    return found


def hashed(values: np.ndarray) -> np.ndarray:
    """Scattered bits, as of a hash."""
    state = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(31)
    return state * np.uint64(0xBF58476D1CE4E5B9)


def test_few_values_are_counted_one_by_one() -> None:
    values = np.random.default_rng(0).integers(0, 500, 20_000)
    found = counted(values, most=1_024)
    assert found.cells.sum() == 20_000
    assert found.distinct() == 500
    place, known = found.find(hashed(np.array([7])))
    assert known.all()
    assert found.cells[place[0], 0] == (values == 7).sum()


def test_of_many_values_their_number_is_near_and_the_heavy_ones_are_exact() -> None:
    draw = np.random.default_rng(1)
    values = np.where(draw.random(200_000) < 0.2, 3, draw.integers(0, 60_000, 200_000))
    found = counted(values, most=4_096)
    assert found.is_sample
    assert found.distinct() == pytest.approx(len(np.unique(values)), rel=0.1)
    place, known = found.find(hashed(np.array([3])))
    assert known.all()
    assert found.cells[place[0], 0] == (values == 3).sum()


def test_rows_that_repeat_are_counted_from_a_sample() -> None:
    rows = DistinctRows(most=4_096)
    values = np.random.default_rng(2).integers(0, 2**60, 40_000)
    for start in range(0, 40_000, 10_000):
        rows.add(hashed(values[start : start + 10_000]))
    assert rows.duplicates() == 0
    rows.add(hashed(values[:10_000]))
    assert rows.duplicates() == pytest.approx(0.2, abs=0.02)


def test_a_feature_that_never_comes_again_tells_nothing() -> None:
    draw = np.random.default_rng(3)
    once = np.zeros((4_000, 2, 2), dtype=int)
    once[np.arange(4_000), draw.integers(0, 2, 4_000), draw.integers(0, 2, 4_000)] = 1
    assert single_auc(once) == pytest.approx(0.5, abs=1e-9)
    tells = np.array([[[90, 10], [90, 10]], [[10, 90], [10, 90]]])
    assert single_auc(tells) == pytest.approx(0.9)  # (0.9 * 0.9 + 0.9 * 0.1) of pairs in order, ties half.
    assert single_auc(np.array([[[5, 0], [5, 0]]])) is None
