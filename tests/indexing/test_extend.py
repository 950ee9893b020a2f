"""An extended vocabulary keeps every row, whatever is seen later."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrkit.errors import IndexMismatchError
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.indexing.ancestor import Ancestor
from ctrkit.indexing.drift import divergence, heaviest
from ctrkit.indexing.extend import check_extensible, extended_vocabulary
from ctrkit.schema import Categorical, Schema

VALUES = st.sampled_from(["a", "b", "c", "é", "", "ab", "日本", "z", "z1", "𝄞"])


def naive(known: list[str], seen: list[str], min_count: int, max_size: int | None) -> list[str]:
    """Row by row in plain Python: known values first, then new ones by count, then by value."""
    counts = Counter(value for value in seen if value not in known)
    new = sorted(
        (value for value, count in counts.items() if count >= min_count), key=lambda v: (-counts[v], v.encode())
    )
    room = len(new) if max_size is None else max(0, max_size - len(known))
    return known + new[:room]


@settings(deadline=None, max_examples=150)
@given(
    first=st.lists(VALUES, max_size=30),
    later=st.lists(VALUES, max_size=40),
    min_count=st.integers(1, 3),
    max_size=st.none() | st.integers(1, 8),
)
def test_old_rows_keep_their_numbers_and_new_values_follow(
    first: list[str], later: list[str], min_count: int, max_size: int | None
) -> None:
    before = Counter(first)
    old = sorted(before, key=lambda v: (-before[v], v.encode()))[:max_size]
    counts = Counter(later)
    feature = Categorical(name="x", min_count=min_count, max_size=max_size)
    grown = extended_vocabulary(
        feature,
        Vocabulary.of(old, [before[value] for value in old]),
        pa.array(list(counts), pa.large_string()),
        np.array(list(counts.values()), dtype=np.int64),
    )
    assert list(grown) == naive(old, later, min_count, max_size)
    assert grown.counts.tolist() == [(before if value in old else Counter())[value] + counts[value] for value in grown]
    assert [grown.rank(value) for value in grown] == list(range(len(grown)))  # Its hash table is of all of them.


def schema(**changes: object) -> Schema:
    features = {"user": {"kind": "categorical", "side": "user"}, "ad": {"kind": "categorical"}, **changes}
    return Schema.from_dict({"label": "click", "features": features})


def test_another_threshold_is_no_obstacle_another_kind_is_one_by_name() -> None:
    index = FeatureIndex(schema(), {name: Vocabulary.of(["v"], [1]) for name in ("user", "ad")}, {})
    check_extensible(schema(ad={"kind": "categorical", "min_count": 9, "max_size": 5}), index, "here")
    with pytest.raises(IndexMismatchError, match=r"Index here .*feature 'ad' is .*hashed.*leave out --extend"):
        check_extensible(schema(ad={"kind": "hashed", "buckets": 7}), index, "here")
    with pytest.raises(IndexMismatchError, match=r"other features \(age\)"):
        check_extensible(schema(age={"kind": "categorical"}), index, "here")


def test_an_index_on_disk_remembers_all_that_it_extends(tmp_path) -> None:
    ancestors = [Ancestor(fingerprint="b" * 64, rows={"user": 3, "ad": 3}), Ancestor(fingerprint="a" * 64, rows={})]
    vocabularies = {name: Vocabulary.of(["v", "w"], [2, 1]) for name in ("user", "ad")}
    FeatureIndex(schema(), vocabularies, {}, ancestors=ancestors).save(tmp_path / "index")
    index = FeatureIndex.load(tmp_path / "index")
    assert index.parent == "b" * 64
    assert index.ancestor("a" * 64) == ancestors[1]
    assert index.ancestor("c" * 64) is None
    assert index.as_ancestor().rows == {"user": 4, "ad": 4}
    assert index.fingerprint == FeatureIndex(schema(), vocabularies, {}).fingerprint  # Rows mean the same.


def test_divergence_is_0_for_chance_and_1_for_disjoint_values() -> None:
    draw = np.random.default_rng(0)
    shares = draw.dirichlet(np.ones(60))
    samples = [draw.multinomial(3_000, shares) for _ in range(2)]
    assert divergence(*samples) < 0.003
    apart = divergence(np.array([4_000, 0]), np.array([0, 4_000]))
    assert apart == pytest.approx(1, abs=0.001)
    # From its definition, by entropies: H(mean) - mean of H.
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    by_entropy = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    assert divergence(p * 1e9, q * 1e9) == pytest.approx(by_entropy, abs=1e-6)
    assert np.isnan(divergence(np.zeros(3), np.ones(3)))


def test_rare_values_are_one_cell() -> None:
    before, now = np.array([5.0, 1, 9, 1]), np.array([5.0, 2, 0, 3])
    kept = heaviest(before, now, cells=2)
    assert sorted(zip(*(side[:2] for side in kept), strict=True)) == [(5, 5), (9, 0)]
    assert [side[-1] for side in kept] == [2, 5]


def _entropy(shares: np.ndarray) -> float:
    return float(-(shares * np.log2(shares)).sum())
