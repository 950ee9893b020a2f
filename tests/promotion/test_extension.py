"""An index is an extension of another when ids made with that one keep their meaning."""

from __future__ import annotations

from typing import Any

import pytest

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.promotion import why_no_extension
from ctrkit.schema import Schema

USERS, ADS, CUTS = ["u1", "u2"], ["a1", "a2"], [18.0, 40.0]
FEATURES: dict[str, Any] = {
    "user": {"kind": "categorical", "side": "user", "min_count": 2},
    "age": {"kind": "numeric", "side": "user", "boundaries": CUTS},
    "ad": {"kind": "categorical", "side": "item"},
    "user_x_ad": {"kind": "cross", "of": ["user", "ad"], "buckets": 50},
}


def index(
    users: list[str] = USERS, ads: list[str] = ADS, cuts: list[float] = CUTS, **changed: dict[str, Any] | None
) -> FeatureIndex:
    features = {**FEATURES, **changed}
    schema = Schema.from_dict({"label": "click", "features": {k: v for k, v in features.items() if v is not None}})
    counted = {"user": Vocabulary.of(users, [1] * len(users)), "ad": Vocabulary.of(ads, [1] * len(ads))}
    return FeatureIndex(schema, counted, {"age": cuts})


def test_more_values_behind_the_old_ones_are_an_extension() -> None:
    old, new = index(), index(users=["u1", "u2", "u3"], ads=["a1", "a2", "b", "c"])
    rows = [{"user": "u2", "ad": "a1", "age": 20}, {"user": "u1", "ad": "a2"}]
    assert (old.ids(rows) == new.ids(rows)).all()  # What an extension promises.
    assert why_no_extension(new, old) is None
    assert why_no_extension(old, old) is None
    assert why_no_extension(old, new) == "values of 'user' have other rows"


def test_a_threshold_that_was_used_up_in_learning_does_not_matter() -> None:
    new = index(users=["u1", "u2", "u3"], user={**FEATURES["user"], "min_count": 1})
    assert why_no_extension(new, index()) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"users": ["u2", "u1"]}, "values of 'user' have other rows"),
        ({"users": ["u", "1u2"]}, "values of 'user' have other rows"),  # The same bytes, cut elsewhere.
        ({"cuts": [18.0, 41.0]}, "feature 'age' has other boundaries"),
        ({"user_x_ad": {**FEATURES["user_x_ad"], "buckets": 60}}, "feature 'user_x_ad' is defined in another way"),
        ({"user_x_ad": None}, r"it has other features (user_x_ad)"),
        ({"ad": {**FEATURES["ad"], "side": "context"}}, "feature 'ad' is defined in another way"),
    ],
)
def test_what_gives_an_old_row_another_meaning_is_none(changed: dict[str, Any], said: str) -> None:
    assert why_no_extension(index(**changed), index()) == said
