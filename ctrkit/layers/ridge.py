"""A penalty on the rows of a table, each counted once however often it is read."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers.sides import check_pair
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class Ridge(tf.keras.layers.Layer):
    """Pass vectors on and add `strength / 2` times the squared rows to the loss, summed over the training part.

    The penalty of a looked-up vector is divided by how often its row is read in an epoch, so that an epoch's penalties
    add up to those of ridge regression: a value that was seen twice stays near zero, one that was seen a thousand
    times is left alone. `FieldEmbeddings(l2=…)` shrinks both alike. Only rows of the batch are touched.

    Args:
        strength: clicks and impressions that a row has to outweigh; 0 for none. Try 5 to 50.
    Call args:
        inputs: `[user, item, user_rarity, item_rarity]`: vectors, float `(batch, fields, dim)`, and one over the
            count of each one's row, float `(batch, fields, 1)`, 0 where it is not to be shrunk.
    Returns:
        `[user, item]` as they came.
    Raises:
        ConfigError: a strength below 0.
        ShapeError: on build, unless given two pairs of rank 3.
    """

    def __init__(self, strength: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not strength >= 0:
            raise ConfigError(f"Ridge: `strength` is {strength!r}, expected a number >= 0, e.g. 20.0.")
        self.strength = float(strength)

    def build(self, input_shape: Any) -> None:
        check_pair("Ridge", input_shape[:2], ranks=(3,))
        check_pair("Ridge", input_shape[2:], ranks=(3,))
        super().build(input_shape)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        vectors, rarity = inputs[:2], inputs[2:]
        for side, rare in zip(vectors, rarity, strict=True):
            if side.shape[1] != 0 and self.strength > 0:
                squares = tf.reduce_sum(rare * tf.square(side), axis=[1, 2])  # (batch,)
                self.add_loss(0.5 * self.strength * tf.reduce_mean(squares))
        return [tf.identity(side) for side in vectors]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}
