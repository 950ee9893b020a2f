"""Ads kept by id: always the rows of indexing them anew, in a bounded number of rows."""

from __future__ import annotations

import random
from collections import UserDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from ctrkit.errors import ConfigError, RequestError
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema
from ctrkit.serving.client.ranker import Ranker

FEATURES = {
    "user": {"kind": "categorical", "side": "user"},
    "hour": {"kind": "categorical", "side": "context"},
    "ad": {"kind": "categorical"},
    "brand": {"kind": "categorical", "column": "maker"},
    "topics": {"kind": "sequence", "of": "topic", "max_length": 3, "side": "item"},
    "topic": {"kind": "categorical"},
    "price": {"kind": "numeric", "boundaries": [1, 2, 5]},
    "ad_x_brand": {"kind": "cross", "of": ["ad", "brand"], "buckets": 40},
    "user_x_brand": {"kind": "cross", "of": ["user", "brand"], "buckets": 300},
    "hour_x_ad": {"kind": "cross", "of": ["hour", "ad"]},
}
PERSON = ({"user": "u1"}, {"hour": "h1"})


@pytest.fixture(scope="module")
def index() -> FeatureIndex:
    known = {
        "user": ["u1", "u2"],
        "hour": ["h1", "h2"],
        "ad": [f"a{k}" for k in range(50)],
        "brand": ["b1", "b2", "1", "true"],
        "topic": ["t1", "t2", "t3"],
        "hour_x_ad": [f"h{h}\x1fa{k}" for h in (1, 2) for k in range(0, 50, 3)],
    }
    vocabularies = {name: Vocabulary.of(values, [1] * len(values)) for name, values in known.items()}
    return FeatureIndex(Schema.from_dict({"label": "y", "features": FEATURES}), vocabularies, {"price": [1, 2, 5]})


def ad(number: int, **changed: Any) -> dict[str, Any]:
    topics = ["t1", "t2", "t3"][: number % 4]
    return {"ad": f"a{number}", "maker": f"b{number % 3}", "topics": topics, "topic": "t1", "price": number, **changed}


def fresh(index: FeatureIndex, ads: list[dict[str, Any]], person: tuple[dict, dict] = PERSON) -> np.ndarray:
    """The ids of the items when each impression is indexed whole."""
    return index.ids_of([{**person[0], **person[1], **one} for one in ads], index.item_fields)


def test_requests_get_the_rows_of_indexing_whole_impressions(index: FeatureIndex) -> None:
    """Few rows for many ads that change now and then, asked for by changing users."""
    draw = random.Random(0)
    for options in ({}, {"ad_key": "ad", "ad_rows": 20}, {"ad_key": "ad", "ad_rows": 1}):
        ranker = Ranker(index, **options)  # type: ignore[arg-type]
        for _ in range(60):
            person = ({"user": draw.choice(["u1", "u2", None])}, {"hour": draw.choice(["h1", "h2"])})
            ads = [ad(draw.randrange(40), price=draw.choice([0, 3])) for _ in range(draw.randrange(30))]
            user_ids, item_ids = ranker.ids(*person, ads)
            np.testing.assert_array_equal(item_ids, fresh(index, ads, person))
            np.testing.assert_array_equal(user_ids, index.ids_of([{**person[0], **person[1]}], index.user_fields))
        assert len(ranker.ads) <= options.get("ad_rows", 0)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"maker": "b1"}, {"maker": "b2"}),
        ({"price": 1}, {"price": 2}),
        ({"maker": 1}, {"maker": True}),  # Equal for Python, spelled "1" and "true" in a log.
        ({"maker": True}, {"maker": 1}),
        ({"price": 0, "maker": 1}, {"price": 0, "maker": True}),
        ({"price": False}, {"price": 0}),
        ({"topics": ["t1"]}, {"topics": ["t1", "t2"]}),
        ({"maker": None}, {"maker": "b1"}),
        ({"price": -1}, {"price": -2}),
    ],
)
def test_an_ad_that_changed_is_indexed_again(index: FeatureIndex, before: dict, after: dict) -> None:
    ranker = Ranker(index, ad_key="ad")
    for one in (ad(3, **before), ad(3, **after), ad(3, **before)):
        np.testing.assert_array_equal(ranker.ids(*PERSON, [one])[1], fresh(index, [one]))


def test_an_ad_that_is_changed_in_place_is_noticed(index: FeatureIndex) -> None:
    ranker, one = Ranker(index, ad_key="ad"), ad(3)
    for change in (
        lambda: None,
        lambda: one.update(maker="b2"),
        lambda: one["topics"].clear(),
        lambda: one.pop("price"),
    ):
        change()
        np.testing.assert_array_equal(ranker.ids(*PERSON, [one])[1], fresh(index, [one]))


class Named(dict):  # type: ignore[type-arg]
    """Equal when the names are."""

    def __eq__(self, other: object) -> bool:
        return self["ad"] == other["ad"]  # type: ignore[index]

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [dict, Named, UserDict, MappingProxyType])
def test_what_an_ad_itself_takes_for_equal_is_not_asked(index: FeatureIndex, kind: Callable[[dict], Any]) -> None:
    ranker = Ranker(index, ad_key="ad")
    for one in (ad(3), ad(3, maker="b2"), ad(3, maker="b2", price=9)):
        np.testing.assert_array_equal(ranker.ids(*PERSON, [kind(one)])[1], fresh(index, [one]))
        assert len(ranker.ads) == 1


def test_an_ad_is_the_same_in_any_order_of_its_columns(index: FeatureIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = Ranker(index, ad_key="ad")
    expected = ranker.ids(*PERSON, [ad(3)])[1]
    monkeypatch.setattr(ranker.ads, "_fresh_rows", None)  # Nothing is to be indexed again.
    for kind in (dict, UserDict, MappingProxyType):
        same = kind(dict(reversed(ad(3).items())))
        np.testing.assert_array_equal(ranker.ids(*PERSON, [same])[1], expected)


def test_remembered_ads_stay_as_they_were_given(index: FeatureIndex) -> None:
    """A new index is told of them as they are remembered, not as the caller changed them since."""
    for options in ({}, {"ad_version": "maker"}):
        ranker, one = Ranker(index, ad_key="ad", **options), ad(3)  # type: ignore[arg-type]
        ranker.remember([one])
        one["price"] = 9
        assert ranker.ads.remembered() == [ad(3)]


def test_with_a_version_column_nothing_else_is_compared(index: FeatureIndex) -> None:
    ranker = Ranker(index, ad_key="ad", ad_version="updated")
    first, same, next_ = ad(3, updated=1), ad(3, maker="b2", updated=1), ad(3, maker="b2", updated=2)
    rows = [ranker.ids(*PERSON, [one])[1] for one in (first, same, next_)]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[2], fresh(index, [next_]))
    assert (rows[1] != rows[2]).any()
    unversioned = ad(3, maker="b1")
    np.testing.assert_array_equal(ranker.ids(*PERSON, [unversioned])[1], fresh(index, [unversioned]))


def test_remembered_ads_are_named_by_id_and_never_given_up(index: FeatureIndex) -> None:
    ranker = Ranker(index, ad_key="ad", ad_rows=10)
    kept = [ad(k) for k in range(4)]
    assert ranker.remember(kept) == 4
    for number in range(4, 50):
        ranker.ids(*PERSON, [ad(number)])
    mixed = ["a2", ad(7), "a0"]
    np.testing.assert_array_equal(ranker.ids(*PERSON, mixed)[1], fresh(index, [ad(2), ad(7), ad(0)]))
    with pytest.raises(RequestError, match=r"place 1: 'a9' is not remembered, and its 'maker', .*client\.remember"):
        ranker.ids(*PERSON, ["a1", "a9"])
    ranker.ads.forget(["a2"])
    with pytest.raises(RequestError, match="'a2' is not remembered"):
        ranker.ids(*PERSON, ["a2"])
    assert ranker.remember([ad(1, maker="b2")]) == 3
    np.testing.assert_array_equal(ranker.ids(*PERSON, ["a1"])[1], fresh(index, [ad(1, maker="b2")]))
    ranker.ads.forget()
    assert len(ranker.ads) == 0


def test_more_ads_than_rows_cannot_be_remembered(index: FeatureIndex) -> None:
    with pytest.raises(
        RequestError, match=r"place 3: .*all 3 rows hold remembered ads; open the client with a larger ad_rows"
    ):
        Ranker(index, ad_key="ad", ad_rows=3).remember([ad(k) for k in range(4)])
    with pytest.raises(RequestError, match="place 1: no 'ad'"):
        Ranker(index, ad_key="ad").remember([ad(1), {"maker": "b1"}])
    with pytest.raises(RequestError, match="open the client with ad_key=COLUMN"):
        Ranker(index).remember([ad(1)])


def test_an_ad_with_values_of_the_user_is_crossed_with_those(index: FeatureIndex) -> None:
    ranker, one = Ranker(index, ad_key="ad"), ad(3, hour="h2")
    for _ in range(2):
        np.testing.assert_array_equal(ranker.ids(*PERSON, [one])[1], fresh(index, [one]))


def test_an_id_is_a_whole_ad_where_items_have_no_other_column() -> None:
    schema = Schema.from_dict({"label": "y", "features": {"user": FEATURES["user"], "ad": FEATURES["ad"]}})
    vocabularies = {"user": Vocabulary.of(["u1"], [1]), "ad": Vocabulary.of(["a1", "7"], [1, 1])}
    ranker = Ranker(FeatureIndex(schema, vocabularies, {}), ad_key="ad")
    for _ in range(2):
        assert ranker.ids({"user": "u1"}, {}, ["a1", 7, np.int64(7), "x"])[1].tolist() == [[2], [3], [3], [1]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ad_key": "add"}, "`ad_key` is 'add', no column that the model knows. Did you mean 'ad'"),
        ({"ad_version": "updated"}, "`ad_version` is 'updated' without an `ad_key`"),
        ({"ad_key": "ad", "ad_rows": 0}, "`ad_rows` is 0, expected 1 or more"),
    ],
)
def test_options_that_mean_nothing_are_refused(index: FeatureIndex, options: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Ranker(index, **options)


def test_a_refused_ad_is_named_by_its_place_and_keeps_nothing(index: FeatureIndex) -> None:
    ranker = Ranker(index, ad_key="ad")
    with pytest.raises(RequestError, match="`ads`, place 1: Field 'price': got 'cheap', expected a number"):
        ranker.ids(*PERSON, [ad(1), ad(2, price="cheap")])
    with pytest.raises(RequestError, match=r"`ads` holds float 1\.5, expected a mapping"):
        ranker.ids(*PERSON, [1.5])
    with pytest.raises(RequestError, match=r"`ads` holds str 'a1'.*open the client with ad_key=COLUMN"):
        Ranker(index).ids(*PERSON, ["a1"])
    np.testing.assert_array_equal(ranker.ids(*PERSON, [ad(2)])[1], fresh(index, [ad(2)]))
