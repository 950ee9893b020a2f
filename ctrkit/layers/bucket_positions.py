"""Where the bucket of a number lies among the buckets of its feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ctrkit.layers.layout import MISSING_ROW, OOV_ROW, IndexLike
from ctrkit.layers.sides import check_pair
from ctrkit.layers.unconverted import unconverted

FIRST_BUCKET = OOV_ROW + 1


@tf.keras.utils.register_keras_serializable("ctrkit")
class BucketPositions(tf.keras.layers.Layer):
    """Two numbers for each numeric feature: its bucket's place from -1 (the lowest) to 1, and 1 where it is missing.

    Embeddings of buckets know nothing of their order: with these a network sees that neighbours are neighbours.

    Args:
        user: `[column of user_ids, buckets]` of each numeric feature of the user and of the context.
        item: likewise of `item_ids`.
        copies: how often to repeat the two, once for each member of an ensemble.
    Call args:
        inputs: `[user_ids, item_ids]`, int32 `(batch, width)` each; the batches may be 1 and n.
    Returns:
        float `(batch, features, 2 * copies)` for each side; a missing number has the place 0.
    """

    def __init__(
        self, user: Sequence[Sequence[int]], item: Sequence[Sequence[int]], *, copies: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.copies = copies
        self.user, self.item = ([[int(column), int(buckets)] for column, buckets in side] for side in (user, item))

    @classmethod
    def of(cls, index: IndexLike, **kwargs: Any) -> BucketPositions | None:
        """The layer for all numeric features of an index; None where it has none."""
        sides: dict[bool, list[list[int]]] = {True: [], False: []}
        for field in index.fields:
            if len(field.boundaries) > 0:
                of_item = field.side == "item"
                column = field.start - (index.user_width if of_item else 0)
                sides[of_item].append([column, len(field.boundaries) + 1])
        return cls(sides[False], sides[True], **kwargs) if sides[False] or sides[True] else None

    def build(self, input_shape: Any) -> None:
        check_pair("BucketPositions", input_shape, ranks=(2,))
        super().build(input_shape)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        return [self._of(ids, places) for ids, places in zip(inputs, (self.user, self.item), strict=True)]

    def _of(self, ids: tf.Tensor, places: list[list[int]]) -> tf.Tensor:
        if not places:
            return tf.zeros([tf.shape(ids)[0], 0, 2 * self.copies], self.compute_dtype)
        rows = tf.gather(ids, tf.constant([column for column, _ in places]), axis=1)  # (batch, features)
        middle = tf.constant([(buckets - 1) / 2 for _, buckets in places], self.compute_dtype)
        position = (tf.cast(rows - FIRST_BUCKET, self.compute_dtype) - middle) / tf.maximum(middle, 0.5)
        known = tf.cast(rows >= FIRST_BUCKET, self.compute_dtype)
        missing = tf.cast(tf.equal(rows, MISSING_ROW), self.compute_dtype)
        return tf.tile(tf.stack([position * known, missing], axis=2), [1, 1, self.copies])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "user": self.user, "item": self.item, "copies": self.copies}
