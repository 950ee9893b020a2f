"""Put features of several kinds next to each other, each side by itself."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.layers.sides import check_pair, flat, present
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class SidedConcat(tf.keras.layers.Layer):
    """All features of a side in one flat vector, for `SidedDense` and the like.

    Call args:
        inputs: `[user, item, user, item, …]`, each float `(batch, features)` or `(batch, fields, dim)`; the batches of
            users and items may be 1 and n.
    Returns:
        `[user, item]`, float `(batch, features)` each.
    Raises:
        ShapeError: on build, unless given pairs of known widths.
    """

    def build(self, input_shape: Any) -> None:
        for at in range(0, max(len(input_shape), 1), 2):
            check_pair("SidedConcat", input_shape[at : at + 2], ranks=(2, 3))
        super().build(input_shape)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        return [_together(side) for side in (inputs[::2], inputs[1::2])]


def _together(parts: list[tf.Tensor]) -> tf.Tensor:
    filled = [flat(part) for part in present(parts)]
    return tf.concat(filled, axis=1) if filled else tf.zeros([tf.shape(parts[0])[0], 0], parts[0].dtype)
