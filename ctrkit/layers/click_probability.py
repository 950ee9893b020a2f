"""The head of a click model: logits and a bias into a probability."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class ClickProbability(tf.keras.layers.Layer):
    """`sigmoid(sum of logits + bias)`.

    Args:
        label_rate: share of clicks in the training part; the bias starts at its log-odds, so that an untrained model
            predicts it. None: the bias starts at 0, a prediction of one half.
    Call args:
        inputs: float `(batch, 1)` in log-odds, or a list of such.
    Returns:
        float32 `(batch, 1)` in `(0, 1)`.
    Raises:
        ConfigError: `label_rate` is not strictly between 0 and 1.
        ShapeError: on build, if a logit has another shape.
    """

    def __init__(self, label_rate: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if label_rate is not None and not 0 < label_rate < 1:
            raise ConfigError(
                f"ClickProbability: `label_rate` is {label_rate!r}, expected a share strictly between 0 and 1, or None."
            )
        self.label_rate = None if label_rate is None else float(label_rate)

    def build(self, input_shape: Any) -> None:
        several = isinstance(input_shape, (list, tuple)) and input_shape and hasattr(input_shape[0], "__len__")
        for shape in input_shape if several else [input_shape]:
            if len(shape) != 2 or shape[1] != 1:
                raise ShapeError(
                    f"ClickProbability: got a logit of shape {tuple(shape)}, expected (batch, 1). "
                    "Bring it there with `tf.keras.layers.Dense(1)`."
                )
        start = 0.0 if self.label_rate is None else math.log(self.label_rate / (1 - self.label_rate))
        self.bias = self.add_weight(name="bias", shape=(1,), initializer=tf.keras.initializers.Constant(start))
        super().build(input_shape)

    @unconverted
    def call(self, inputs: Any) -> tf.Tensor:
        logits = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        total = logits[0]
        for logit in logits[1:]:
            total = total + logit  # Not add_n: a batch of one broadcasts.
        return tf.keras.activations.sigmoid(
            tf.nn.bias_add(total, self.bias)
        )  # (batch, 1); Keras' loss finds the logit.

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_rate": self.label_rate}
