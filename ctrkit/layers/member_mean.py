"""The mean of an ensemble's logits, whose members learn as if each were alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ctrkit.errors import ShapeError
from ctrkit.layers.field_embeddings import is_training
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class MemberMean(tf.keras.layers.Layer):
    """Mean of the members' logits, with a bias for each; every member gets the gradient of its own log loss.

    The plain gradient of the mean would have members make up for each other's mistakes: one large network, in which
    nothing averages out. With log loss the gradient at the mean is `w (p - y)`: its sign tells the label y, its size
    the row's weight w; from these follows `w (p[m] - y)`, what member m would get if it were scored by itself. So the
    model must be trained with log loss of `sigmoid(mean)`, and with nothing added to the mean.

    Args:
        start: initial value of the biases, in log-odds.
    Call args:
        inputs: float `(batch, members)` in log-odds.
    Returns:
        float `(batch, 1)` in log-odds.
    Raises:
        ShapeError: on build, unless given rank 2 with known members.
    Source: independent members as in Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation
        using Deep Ensembles", NIPS 2017; the gradient is the chain rule of log loss.
    """

    def __init__(self, start: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = float(start)

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape)
        if len(shape) != 2 or shape[1] is None:
            raise ShapeError(f"MemberMean: got {shape}, expected one logit a member, (batch, members).")
        self.bias = self.add_weight(
            name="bias", shape=(shape[1],), initializer=tf.keras.initializers.Constant(self.start)
        )
        super().build(input_shape)

    @unconverted
    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        logits = tf.nn.bias_add(inputs, self.bias)
        if is_training(training):
            return _mean_of_independent(logits)
        return tf.reduce_mean(logits, axis=1, keepdims=True)  # (batch, 1); a SavedModel takes no gradient of one's own.

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start}


@tf.custom_gradient
def _mean_of_independent(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    mean = tf.reduce_mean(logits, axis=1, keepdims=True)  # (batch, 1)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        side = tf.where(upstream < 0, -1.0, 1.0)  # A click pulls the logit up: the miss is then 1 - p.
        weight = tf.math.divide_no_nan(upstream, tf.sigmoid(side * mean))  # (batch, 1)
        return weight * tf.sigmoid(side * logits)  # (batch, members)

    return mean, gradient
