"""What a search space may be, and what is said of one that cannot be."""

from __future__ import annotations

import math

import keras_tuner
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrkit.errors import ConfigError
from ctrkit.models import deepfm, logistic_regression
from ctrkit.tuning import Space
from ctrkit.tuning.dimension import Choice, Range, parse_dimension

plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(-10, 10, allow_nan=False).map(lambda value: float(f"{value:.4g}")),
    st.text(max_size=5),
    st.lists(st.integers(1, 512), max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(plain_values, min_size=1, max_size=6, unique_by=lambda value: yaml.safe_dump(value)))
def test_a_choice_of_anything_comes_back_from_keras_tuner_as_it_was(values: list) -> None:
    space = Space.parse({"model.any": {"choice": values}})
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    hp = keras_tuner.HyperParameters.from_proto(hp.to_proto())  # Over the wire, too.
    (declared,) = hp.space
    seen = [space.decode({"model.any": word})["model.any"] for word in declared.values]
    assert [(type(one), one) for one in seen] == [(type(one), one) for one in values]


@settings(max_examples=100, deadline=None)
@given(
    low=st.floats(1e-6, 1e3),
    ratio=st.floats(1.01, 1e4),
    log=st.booleans(),
    whole=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_every_drawn_number_lies_within_the_bounds(low: float, ratio: float, log: bool, whole: bool, seed: int) -> None:
    low = max(1, round(low)) if whole else low
    high = max(low + 1, round(low * ratio)) if whole else low * ratio
    space = Space.parse({"training.x": {"int" if whole else "float": [low, high], "log": log}})
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    value = space.decode({"training.x": hp.space[0].random_sample(seed)})["training.x"]
    assert low <= value <= high
    assert isinstance(value, int if whole else float)
    assert space.encode({"training.x": value}) is not None
    assert 0 <= space.dimensions["training.x"].position(value) <= 1


def test_a_logarithmic_range_draws_each_decade_as_often() -> None:
    space = Space.parse({"training.x": {"float": [0.001, 1.0], "log": True}})
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    drawn = np.array(
        [space.decode({"training.x": hp.space[0].random_sample(seed)})["training.x"] for seed in range(600)]
    )
    decades, _ = np.histogram(np.log10(drawn), bins=[-3, -2, -1, 0])
    assert decades.min() > 150


def test_a_drawn_real_number_has_four_digits() -> None:
    assert Range("x", 0.0, 1.0, is_whole=False).decode(0.123456) == 0.1235
    assert Range("x", 0.12344, 1.0, is_whole=False).decode(0.12344) == 0.12344  # Not rounded out of the bounds.


def test_null_takes_a_key_out_of_the_space() -> None:
    assert list(Space.parse({"model.dim": [8, 16], "model.l2": None}).dimensions) == ["model.dim"]


def test_a_plain_list_is_a_choice() -> None:
    assert parse_dimension("model.dim", [8, 16]) == Choice("model.dim", (8, 16))


def test_an_experiments_own_values_are_found_in_the_space_or_named() -> None:
    space = Space.parse({"model.dim": [8, 16], "model.l2": {"float": [1e-6, 1e-2], "log": True}})
    inside = {"model.dim": 16, "model.l2": 1e-4}
    assert space.decode(space.encode(inside)) == inside
    outside = {"model.dim": 12, "model.l2": 0.0}
    assert space.encode(outside) is None
    assert space.missing(outside) == ["model.dim", "model.l2"]
    assert space.encode({"model.dim": 16}) is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"choice": []}, r"Space model\.dim: the choice is empty, expected at least one value, e\.g\."),
        ({"choice": 8}, r"got choice: 8, expected a list"),
        ({"choice": [8, 8]}, r"8 is there twice"),
        ({"choice": [8], "log": True}, r"log goes with int and float, not with choice"),
        ({"chioce": [8]}, r"unknown word 'chioce'\. Did you mean 'choice'\?"),
        ({"int": [8, 4]}, r"got int: \[8, 4\], expected a lower and then a higher bound"),
        ({"int": [1.5, 4]}, r"expected whole numbers\. Type float:"),
        ({"float": [0, 1], "log": True}, r"with log: true, expected a lower bound above 0, e\.g\. \[0\.01, 1\]"),
        ({"float": [0.1]}, r"got float: \[0\.1\], expected the lower and the upper bound, e\.g\. float: \[1, 8\]"),
        ({"float": ["a", "b"]}, r"expected the lower and the upper bound"),
        ({"float": [0, 1], "step": 0}, r"step is 0, expected a number above 0"),
        ({"int": [1, 8], "step": 0.5}, r"step is 0\.5, expected a whole number above 0"),
        ({"float": [0, 1], "int": [0, 1]}, r"expected one of choice, int and float"),
        ({"float": [0, math.inf]}, r"expected a lower and then a higher bound"),
        (8, r"got 8, expected its values"),
    ],
)
def test_a_bad_dimension_is_refused_with_what_to_type(spec: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Space.parse({"model.dim": spec})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model.dmi", r"Space model\.dmi: the model 'deepfm' has no 'dmi'\. Did you mean 'dim'\?"),
        ("training.epoch", r"training has no 'epoch'\. Did you mean 'epochs'\?"),
        ("training.epochs.x", r"training\.epochs is one value\. Type training\.epochs for the key"),
        ("data.split.validation", r"expected a key of model or training, e\.g\. model\.dim"),
        ("seed", r"expected a key of model or training"),
    ],
)
def test_an_unknown_key_is_told_the_nearest(key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Space.parse({key: [1, 2]}).check_keys(deepfm)


def test_keys_of_the_optimizers_own_options_are_free() -> None:
    Space.parse({"training.table_options.initial_accumulator_value": {"float": [1e-6, 0.1], "log": True}}).check_keys(
        deepfm
    )


def test_a_key_within_another_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.table_options\.a lies within training\.table_options"):
        Space.parse({"training.table_options": [{}], "training.table_options.a": [1]})


def test_the_space_of_the_zoo_fits_each_model() -> None:
    Space.parse("auto", deepfm).check_keys(deepfm)
    assert "model.dim" in Space.parse("auto", deepfm).dimensions
    space = Space.parse("auto", logistic_regression)
    space.check_keys(logistic_regression)
    assert [key for key in space.dimensions if key.startswith("model.")] == ["model.l2"]


def test_a_space_that_is_a_word_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tuning\.space is 'atuo', expected auto or a mapping"):
        Space.parse("atuo")
