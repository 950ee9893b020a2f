"""The Estimator that is built around a model, and what building it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.training.estimator import build_estimator, compiled_clone, quiet_tensorflow, run_config
from ctrkit.training.keras_classes import keras_classes_kept
from tests.training.runs import options, weights_of


def test_the_session_starts_with_the_weights_of_the_model_in_their_order(prepared, build, tmp_path) -> None:
    model = build()
    expected = weights_of(model)
    seen: dict[str, list] = {}

    class Look(tf.compat.v1.train.SessionRunHook):
        def after_create_session(self, session, coord) -> None:
            seen["weights"] = [session.run(weight) for weight in seen["variables"]]

    with keras_classes_kept(), quiet_tensorflow():
        estimator = build_estimator(
            model,
            options(),
            run_config(options(), tmp_path),
            on_graph=lambda graph: seen.update(variables=[whole for (whole,) in graph.weights]),
        )
        estimator.train(lambda: prepared.train.dataset(64), steps=1, hooks=[Look()])
    for got, wanted in zip(seen["weights"], expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.slow
def test_every_variable_goes_through_the_device_function(prepared, build, tmp_path) -> None:
    """Where a cluster will place its tables."""
    asked = set()

    def place(op: tf.Operation) -> str:
        asked.add(op.name)
        return ""

    with keras_classes_kept(), quiet_tensorflow():
        config = run_config(options(seed=0), tmp_path, device_fn=place)
        build_estimator(build(), options(), config).train(lambda: prepared.train.dataset(64), steps=1)
    assert config.tf_random_seed == 0
    assert any(name.endswith("/table") for name in asked)


def test_keras_classes_are_what_they_were(build, prepared, tmp_path) -> None:
    model = build()
    bases = {cls: cls.__bases__ for cls in {type(model), *(type(layer) for layer in model.layers)}}
    with keras_classes_kept(), quiet_tensorflow():
        build_estimator(model, options(), run_config(options(), tmp_path)).train(
            lambda: prepared.train.dataset(64), steps=1
        )
        assert any(cls.__bases__ != kept for cls, kept in bases.items())  # Else the context is no longer needed.
    assert all(cls.__bases__ == kept for cls, kept in bases.items())


class Forgetful(tf.keras.layers.Layer):
    """A layer whose `get_config` leaves out an argument."""

    def __init__(self, units: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.units = units

    def get_config(self) -> dict:
        return {"name": self.name}


def test_a_layer_without_a_config_is_explained() -> None:
    ids = tf.keras.Input((2,), dtype=tf.int32, name="ids")
    with pytest.raises(ConfigError, match=r"cannot be cloned.*'units'.*`get_config`"):
        compiled_clone(tf.keras.Model(ids, Forgetful(3)(ids)), options())


@pytest.mark.parametrize(("decay", "at_a_quarter"), [("linear", 0.75), ("cosine", (1 + np.cos(np.pi / 4)) / 2)])
def test_learning_rates_fall_to_zero_over_the_run(build, decay: str, at_a_quarter: float) -> None:
    chosen = options(learning_rate_decay=decay, table_learning_rate=0.2, dense_learning_rate=0.01)
    optimizer = compiled_clone(build(), chosen, steps=40).optimizer
    for part, start in ((optimizer.tables, 0.2), (optimizer.dense, 0.01)):
        rates = [float(part.learning_rate(step)) for step in (0, 10, 40)]
        np.testing.assert_allclose(rates, [start, start * at_a_quarter, 0], rtol=1e-5, atol=1e-9)
