"""Cut `ids` into the half that a ranking request sends once and the half it sends per candidate."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ShapeError
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class SplitSides(tf.keras.layers.Layer):
    """`ids` into `[user_ids, item_ids]`; either may have no columns.

    A ranking signature starts from the two outputs, where users may have a batch of one.

    Args:
        width: columns of `ids`.
        user_width: leading columns that belong to the user and the context.
    Call args:
        ids: int32 `(batch, width)`.
    Returns:
        int32 `(batch, user_width)` and int32 `(batch, width - user_width)`.
    Raises:
        ShapeError: on build, if `ids` has another width.
    """

    def __init__(self, width: int, user_width: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": tf.int32, **kwargs})
        self.width, self.user_width = width, user_width

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = tuple(input_shape)
        if len(shape) != 2 or shape[1] != self.width:
            raise ShapeError(
                f"SplitSides: got ids of shape {shape}, expected (batch, {self.width}). "
                f"Feed `ids` as the index lays them out, or build the model again with the index of these ids."
            )
        super().build(input_shape)

    @unconverted
    def call(self, ids: tf.Tensor) -> list[tf.Tensor]:
        return [ids[:, : self.user_width], ids[:, self.user_width :]]  # (batch, user_width), (batch, item_width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "user_width": self.user_width}
