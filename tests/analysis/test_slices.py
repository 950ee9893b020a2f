"""Metrics of each value of a feature, against the rows picked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from ctrkit.analysis import sliced_fields, slices
from ctrkit.errors import ConfigError
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema
from tests.analysis.known_world import World


@pytest.fixture(scope="module")
def index() -> FeatureIndex:
    schema = Schema.from_dict(
        {
            "label": "click",
            "features": {
                "device": {"kind": "categorical"},
                "city": {"kind": "categorical"},
                "age": {"kind": "numeric", "boundaries": [18, 40]},
                "salt": {"kind": "hashed", "buckets": 3},
                "device_city": {"kind": "cross", "of": ["device", "city"]},
                "seen": {"kind": "sequence", "of": "city", "max_length": 2},
            },
        }
    )
    words = {
        "device": ["phone", "tv"],
        "city": [f"c{i:02}" for i in range(21)],
        "device_city": ["phone\x1fc00", "tv\x1fc01"],
    }
    words["device_city"] = [word.replace("\x1f", _separator()) for word in words["device_city"]]
    counted = {name: Vocabulary.of(values, [1] * len(values)) for name, values in words.items()}
    return FeatureIndex(schema, counted, {"age": [18.0, 40.0]})


def _separator() -> str:
    from ctrkit.indexing.lookup import CROSS_SEPARATOR

    return CROSS_SEPARATOR


def test_by_default_features_of_few_known_values_are_sliced(index: FeatureIndex) -> None:
    assert [field.name for field in sliced_fields(index)] == ["device"]  # `city` knows 21.


def test_each_value_is_judged_on_its_own_rows_most_frequent_first(index: FeatureIndex, world: World) -> None:
    random = np.random.default_rng(0)
    rows = random.choice([0, 1, 2, 3], p=[0.05, 0.15, 0.2, 0.6], size=len(world.labels))
    found = slices(rows[:, None], sliced_fields(index), index, world.labels, world.scores, world.weights)
    assert [one.value for one in found] == ["tv", "phone", "(unseen)", "(missing)"]
    for one, row in zip(found, [3, 2, 1, 0], strict=True):
        here = rows == row
        assert one.rows == here.sum()
        expected = metrics.roc_auc_score(world.labels[here], world.scores[here], sample_weight=world.weights[here])
        assert one.metrics["auc"].estimate == pytest.approx(expected)
        assert one.metrics["auc"].low < expected < one.metrics["auc"].high
    widths = [one.metrics["auc"].high - one.metrics["auc"].low for one in found]
    assert widths == sorted(widths)  # The fewer rows, the less certain.


def test_the_top_values_are_kept_and_absent_ones_left_out(index: FeatureIndex) -> None:
    ids = np.array([[2], [2], [2], [3], [3], [1]])
    found = slices(ids, sliced_fields(index), index, [0, 1, 0, 0, 1, 1], np.linspace(0.1, 0.6, 6), top=2)
    assert [(one.value, one.rows) for one in found] == [("phone", 3), ("tv", 2)]


def test_named_features_are_told_in_their_own_words(index: FeatureIndex) -> None:
    fields = sliced_fields(index, ["age", "salt", "device_city"])
    ids = np.array([[2, 2, 2], [3, 3, 3], [4, 4, 0]])
    found = slices(ids, fields, index, [0, 1, 0], [0.1, 0.2, 0.3])
    assert [one.value for one in found] == [
        *("below 18", "18 to 40", "from 40"),
        *("bucket 0", "bucket 1", "bucket 2"),
        *("(missing)", "phone × c00", "tv × c01"),
    ]


def test_a_feature_that_is_none_is_named(index: FeatureIndex) -> None:
    with pytest.raises(ConfigError, match=r"card\.slices: 'devise' is no feature.*Did you mean 'device'"):
        sliced_fields(index, ["devise"])
    with pytest.raises(ConfigError, match=r"'seen' is no feature with one value a row"):
        sliced_fields(index, ["seen"])
    with pytest.raises(ConfigError, match=r"card\.top is 0"):
        slices(np.zeros((1, 1), int), sliced_fields(index), index, [0], [0.1], top=0)
