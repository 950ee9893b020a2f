"""Keep ids inside their tables: an id out of range reads the out-of-vocabulary row instead of failing a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ctrkit.errors import ShapeError
from ctrkit.layers.layout import OOV_ROW
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class KnownRows(tf.keras.layers.Layer):
    """Ids of one side with those outside of `[0, rows)` of their column replaced by the out-of-vocabulary row 1.

    A CPU gather refuses a whole batch for one such id, and XLA reads a wrong row without a word.

    Args:
        rows: the number of rows of the feature that each column holds.
    Call args:
        ids: int32 `(batch, len(rows))`; the batch may be 1 where the other side's is larger.
    Returns:
        int32 of the same shape.
    Raises:
        ShapeError: on build, if `ids` has another width.
    """

    def __init__(self, rows: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**{"dtype": tf.int32, **kwargs})
        self.rows = [int(count) for count in rows]

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = tuple(input_shape)
        if len(shape) != 2 or shape[1] != len(self.rows):
            raise ShapeError(f"KnownRows: got ids of shape {shape}, expected (batch, {len(self.rows)}).")
        super().build(input_shape)

    @unconverted
    def call(self, ids: tf.Tensor) -> tf.Tensor:
        if not self.rows:
            return ids
        rows = tf.constant(self.rows, dtype=tf.uint32)
        known = tf.bitcast(ids, tf.uint32) < rows  # A negative id is a huge unsigned one: one comparison for both ends.
        # Not `tf.where` with a scalar: where nothing broadcasts, it takes a quarter of the time.
        return tf.raw_ops.Select(condition=known, x=ids, y=tf.fill(tf.shape(ids), OOV_ROW))  # (batch, width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": list(self.rows)}
