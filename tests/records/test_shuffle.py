"""The global shuffle: a permutation that depends on the seed and the rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctrkit.indexing.hashing import combine
from ctrkit.records.shuffle import HashOrder
from ctrkit.records.workers import Workers


def shuffled(
    directory: Path, rows: int, *, chunk: int, seed: int = 0, memory: int = 1 << 20, expected: int = 0
) -> list[int]:
    packed = np.stack([np.arange(rows), np.arange(rows) * 2], axis=1).astype(np.int32)
    with Workers(1) as workers:
        order = HashOrder(directory, 2, workers, seed=seed, memory=memory, rows=expected)
        for at in range(0, rows, chunk):
            order.write(packed[at : at + chunk])
        out = np.concatenate([np.empty((0, 2), dtype=np.int32), *order.drain()])
    assert (out[:, 1] == 2 * out[:, 0]).all()  # Rows stay whole.
    assert not directory.exists()
    return out[:, 0].tolist()


# 3,000 rows of 16 bytes: 1 MB holds all, 4,000 B spills once, 300 B splits every bucket file again.
@pytest.mark.parametrize("memory", [1 << 20, 4000, 300])
@pytest.mark.parametrize("chunk", [1000, 37])
def test_rows_come_in_the_order_of_the_hash_of_their_number(tmp_path: Path, memory: int, chunk: int) -> None:
    expected = sorted(range(3000), key=lambda row: combine([5, row]))
    assert shuffled(tmp_path / "buckets", 3000, chunk=chunk, seed=5, memory=memory) == expected


@pytest.mark.parametrize("expected", [0, 3000, 10**9])
def test_more_buckets_where_more_rows_are_expected_change_no_order(tmp_path: Path, expected: int) -> None:
    one = shuffled(tmp_path / "buckets", 3000, chunk=100, memory=400, expected=expected)
    assert one == shuffled(tmp_path / "all", 3000, chunk=3000)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_come_out_too(tmp_path: Path, rows: int) -> None:
    assert sorted(shuffled(tmp_path / "buckets", rows, chunk=1)) == list(range(rows))


def test_another_seed_gives_another_order(tmp_path: Path) -> None:
    assert shuffled(tmp_path / "a", 100, chunk=100, seed=0) != shuffled(tmp_path / "b", 100, chunk=100, seed=1)


def test_every_place_is_about_equally_likely_for_every_row(tmp_path: Path) -> None:
    places = np.zeros((4, 4))
    for seed in range(4000):
        for place, row in enumerate(shuffled(tmp_path / "buckets", 4, chunk=4, seed=seed)):
            places[row, place] += 1
    # Binomial(4000, 1/4): mean 1,000, deviation 27.
    np.testing.assert_allclose(places, 1000, atol=5 * 27)
