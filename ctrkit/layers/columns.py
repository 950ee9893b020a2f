"""Pick one field's columns out of the ids of its side."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class Columns(tf.keras.layers.Layer):
    """Columns `[start, start + length)`; with `length` None the single column `start`, without its axis.

    Call args:
        ids: int32 `(batch, width)`.
    Returns:
        int32 `(batch,)` or `(batch, length)`.
    """

    def __init__(self, start: int, length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": tf.int32, **kwargs})
        self.start, self.length = start, length

    @unconverted
    def call(self, ids: tf.Tensor) -> tf.Tensor:
        return ids[:, self.start] if self.length is None else ids[:, self.start : self.start + self.length]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start, "length": self.length}
