"""Crosses of items and users from kept halves: the rows of whole impressions."""

from __future__ import annotations

import numpy as np
import pytest

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.indexing.split_cross import SplitCrosses, is_split
from ctrkit.schema import Schema

FEATURES = {
    "user": {"kind": "categorical", "side": "user"},
    "age": {"kind": "numeric", "boundaries": [18, 40], "side": "user"},
    "hour": {"kind": "categorical", "side": "context"},
    "ad": {"kind": "categorical"},
    "price": {"kind": "numeric", "boundaries": [1, 2]},
    "ad_x_price": {"kind": "cross", "of": ["ad", "price"], "buckets": 9},
    "user_x_ad": {"kind": "cross", "of": ["user", "ad"], "buckets": 1000},
    "price_x_age": {"kind": "cross", "of": ["price", "age"], "buckets": 77},
    "three": {"kind": "cross", "of": ["hour", "ad", "user"], "buckets": 500},
    "listed": {"kind": "cross", "of": ["ad", "hour"]},
}
USERS = [
    {"user": "u1", "age": 30, "hour": 3},
    {"user": "u2", "hour": "5"},
    {"age": 10, "hour": 3},
    {"user": None, "age": None, "hour": ""},
]
ADS = [{"ad": "a1", "price": 0.5}, {"ad": "a2"}, {"price": 3}, {"ad": "never seen", "price": 2}, {}]


@pytest.fixture(scope="module")
def index() -> FeatureIndex:
    known = {"user": ["u1", "u2"], "hour": ["3", "5"], "ad": ["a1", "a2"], "listed": ["a1\x1f3", "a2\x1f5", "a2\x1f3"]}
    vocabularies = {name: Vocabulary.of(values, [1] * len(values)) for name, values in known.items()}
    return FeatureIndex(
        Schema.from_dict({"label": "y", "features": FEATURES}), vocabularies, {"age": [18, 40], "price": [1, 2]}
    )


def test_only_crosses_with_the_user_are_split(index: FeatureIndex) -> None:
    split = [field.name for field in index.item_fields if is_split(field, index)]
    assert split == ["user_x_ad", "price_x_age", "three", "listed"]
    crosses = SplitCrosses(index, [index[name] for name in split])
    assert crosses.width == 2
    assert crosses.user_columns == {"user", "age", "hour"}


@pytest.mark.parametrize("user", USERS)
def test_rows_from_halves_are_those_of_whole_impressions(index: FeatureIndex, user: dict) -> None:
    fields = [field for field in index.item_fields if is_split(field, index)]
    crosses = SplitCrosses(index, fields)
    halves = [crosses.item_half(ad) for ad in ADS]
    tokens = np.array([half[0] for half in halves], dtype=object)
    hashes = np.array([half[1] for half in halves], dtype=np.uint64)
    found = crosses.ids(user, tokens, hashes, tokens != None)  # noqa: E711
    np.testing.assert_array_equal(found, index.ids_of([{**user, **ad} for ad in ADS], fields))
    assert crosses.ids(user, tokens[:0], hashes[:0], tokens[:0] != None).shape == (0, 4)  # noqa: E711
