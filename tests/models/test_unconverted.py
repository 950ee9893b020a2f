"""No layer of ctrkit is rewritten by AutoGraph; its arguments are known to Keras all the same."""

from __future__ import annotations

import inspect
import sys

import pytest
import tensorflow as tf

from ctrkit.layers.unconverted import unconverted
from ctrkit.models import ZOO, build_model
from tests.layers.index import small_index


class Doubled(tf.keras.layers.Layer):
    @unconverted
    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Twice the inputs in training."""
        return inputs * 2 if training else inputs


def rewritten() -> set[str]:
    """Modules that AutoGraph made so far."""
    return {name for name in sys.modules if name.startswith("__autograph_generated_file")}


def test_the_arguments_are_those_of_the_call() -> None:
    assert inspect.getfullargspec(Doubled().call).args == ["self", "inputs", "training"]
    layer = Doubled()
    model = tf.keras.Sequential([layer])
    assert float(model(tf.constant([3.0]), training=True)[0]) == 6.0
    assert float(model(tf.constant([3.0]))[0]) == 3.0


@pytest.mark.parametrize("name", ZOO)
def test_building_and_calling_a_model_rewrites_nothing(name: str) -> None:
    before = rewritten()
    model = build_model(name, small_index())
    tf.function(model, autograph=False)(tf.zeros([2, model.input_shape[1]], tf.int32))
    assert rewritten() == before
