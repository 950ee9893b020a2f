"""Add up the vectors of all fields of both sides."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.layers.sides import check_pair, present
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class SidedSum(tf.keras.layers.Layer):
    """Sum over fields; of vectors of length 1 it is the linear (wide) part of a model, in log-odds.

    Call args:
        inputs: `[user, item]`, each float `(batch, fields, dim)`; the batches may be 1 and n.
    Returns:
        float `(batch, dim)` with the larger batch.
    Raises:
        ShapeError: on build, unless given a pair of rank 3.
    """

    def build(self, input_shape: Any) -> None:
        check_pair("SidedSum", input_shape, ranks=(3,))
        super().build(input_shape)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        sums = [tf.reduce_sum(side, axis=1) for side in present(inputs)]  # (batch, dim) each
        return tf.add(*sums) if len(sums) == 2 else sums[0]
