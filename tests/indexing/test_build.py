"""What is learned from counts: vocabularies and boundaries."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from ctrkit.indexing.build import (
    NumberCounts,
    learn_boundaries,
    learn_vocabulary,
    log_boundaries,
    rounded,
    values_of,
)
from ctrkit.schema import Categorical, Numeric


def learned(counts: dict[str, int], **options: int) -> list[str]:
    feature = Categorical(name="f", **options)
    values = pa.array(list(counts), type=pa.large_string())
    return list(learn_vocabulary(feature, values, np.array(list(counts.values()), dtype=np.int64)))


def test_vocabulary_is_by_descending_count_then_by_value() -> None:
    counts = {"b": 2, "a": 2, "é": 5, "z": 5, "": 0, "once": 1}
    assert learned(counts) == ["z", "é", "a", "b", "once"]  # Never seen in training: not known.
    assert learned(counts, min_count=2) == ["z", "é", "a", "b"]
    assert learned(counts, max_size=3) == ["z", "é", "a"]
    assert learned({}) == []


def test_order_of_the_counts_does_not_matter() -> None:
    draw = np.random.default_rng(0)
    counts = Counter(f"v{number}" for number in draw.zipf(1.5, 5000) % 1000)
    shuffled = dict(sorted(counts.items(), key=lambda item: hash(item[0])))
    expected = sorted(counts, key=lambda value: (-counts[value], value))
    assert learned(counts) == learned(shuffled) == expected


def test_values_of_a_vocabulary_are_those_it_was_made_of() -> None:
    feature = Categorical(name="f")
    vocabulary = learn_vocabulary(feature, pa.array(["a", "日本", ""], pa.large_string()), np.array([1, 3, 2]))
    assert values_of(vocabulary).to_pylist() == ["日本", "", "a"]


def test_slice_of_a_longer_array_is_read_at_its_place() -> None:
    values = pa.array(["x", "bb", "a", "y"], pa.large_string()).slice(1, 2)
    assert list(learn_vocabulary(Categorical(name="f"), values, np.array([1, 1]))) == ["a", "bb"]


@pytest.mark.parametrize("quantiles", [2, 4, 10])
def test_quantile_buckets_hold_about_equally_many_rows(quantiles: int) -> None:
    data = np.random.default_rng(0).lognormal(size=10_000)
    values, counts = np.unique(data, return_counts=True)
    edges = learn_boundaries(Numeric(name="x", quantiles=quantiles), values, counts)
    rows = Counter(bisect_right(edges, x) for x in data)
    assert len(rows) == quantiles
    assert max(rows.values()) - min(rows.values()) <= 1


def test_heavy_value_is_never_cut_and_makes_no_empty_bucket() -> None:
    data = [0] * 90 + list(range(1, 11))
    values, counts = np.unique(data, return_counts=True)
    edges = learn_boundaries(Numeric(name="x", quantiles=10), values.astype(float), counts)
    assert {bisect_right(edges, x) for x in data} == set(range(len(edges) + 1))
    assert learn_boundaries(Numeric(name="x", quantiles=4), np.array([7.0]), np.array([5])) == ()
    assert learn_boundaries(Numeric(name="x", quantiles=4), np.empty(0), np.empty(0, dtype=np.int64)) == ()


def test_log_rule_gives_small_integers_their_own_bucket_and_squares_the_logarithm_above() -> None:
    edges = log_boundaries(5000.0)
    rows = [bisect_right(edges, x) for x in range(5001)]
    assert rows[:3] == [1, 2, 3]
    for x in range(3, 5001):
        assert rows[x] == 3 + math.floor(math.log(x) ** 2), x
    assert bisect_right(edges, -1) == 0
    assert log_boundaries(1.0) == log_boundaries(-5.0) == (0.0, 1.0, 2.0)
    assert edges[-1] <= 5000 < math.exp(math.sqrt(len(edges) - 2))  # No bucket beyond the largest value.


def test_given_boundaries_are_taken_as_they_are() -> None:
    assert learn_boundaries(Numeric(name="x", boundaries=(1.5, 2.0)), np.empty(0), np.empty(0)) == (1.5, 2.0)


def test_rounding_keeps_twelve_digits_and_every_short_decimal() -> None:
    draw = np.random.default_rng(0)
    numbers = np.concatenate(
        [
            draw.normal(size=2000) * 10.0 ** draw.integers(-30, 30, 2000),
            [0.0, -0.0, 123.0, 1e15, 2**53, 0.1, 1 / 3, np.inf],
        ]
    )
    np.testing.assert_allclose(rounded(numbers), [float(f"{x:.11e}") for x in numbers.tolist()], rtol=1e-15)
    short = np.round(draw.random(10_000) * 1000, 3)
    np.testing.assert_array_equal(rounded(short), short)
    np.testing.assert_array_equal(rounded(rounded(numbers)), rounded(numbers))


def test_number_counts_are_those_of_counting_everything_at_once() -> None:
    draw = np.random.default_rng(0)
    data = np.concatenate([draw.integers(0, 50, 3000) / 7, draw.normal(size=300_000), [np.nan, np.inf]])
    counts = NumberCounts()
    for part in np.array_split(data, 9):
        counts.add(*np.unique(part, return_counts=True))
    values, found = counts.merged()
    expected = Counter(rounded(data[np.isfinite(data)]).tolist())
    assert dict(zip(values.tolist(), found.tolist(), strict=True)) == expected
    assert (np.diff(values) > 0).all()
