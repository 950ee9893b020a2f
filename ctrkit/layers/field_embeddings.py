"""Look up all fields of one width in one fused table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.layers.inputs import Inputs
from ctrkit.layers.layout import MISSING_ROW, IndexLike, Place, TableLayout
from ctrkit.layers.look_up import look_up, look_up_once
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class FieldEmbeddings(tf.keras.layers.Layer):
    """One vector per field, from one variable that holds the rows of all fields' tables one after another.

    A field's missing and out-of-vocabulary values have rows of their own. A sequence is the mean of its vectors
    without the padding; an empty one is a zero vector. The gradient is sparse. The variable's name ends in `table`, by
    which `SplitOptimizer` knows it.

    Args:
        index: a `FeatureIndex` (or a `TableLayout`, which is what is saved with the model).
        dim: length of a vector.
        fields: names of the features to look up; all when None.
        l2: weight of a penalty on the looked-up vectors (squared, summed over fields, averaged over the batch).
            Rows outside of the batch are left alone: nothing decays a whole table.
        deduplicate: while training, read each distinct row of a batch once and give the table one summed slice for it;
            turn it off for `jit_compile=True`, since XLA cannot compile `tf.unique`.
        initializer: Keras initializer of the table.
    Call args:
        inputs: an `Inputs`, or `[user_ids, item_ids]` with ids in range, int32 `(user_batch, user_width)` and
            `(item_batch, item_width)`; one of the batches may be 1 where the other is larger.
    Returns:
        float `(user_batch, user_fields, dim)` and `(item_batch, item_fields, dim)`; either may have 0 fields.
    Raises:
        ConfigError: an unknown name in `fields`, a `dim` below 1, an `l2` below 0.
        ShapeError: when called with anything but the two sides.
    """

    def __init__(
        self,
        index: IndexLike | TableLayout,
        *,
        dim: int = 16,
        fields: Iterable[str] | None = None,
        l2: float = 0.0,
        deduplicate: bool = True,
        initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ConfigError(f"FieldEmbeddings: `dim` is {dim!r}, expected an integer >= 1, e.g. `dim=16`.")
        if not l2 >= 0:
            raise ConfigError(f"FieldEmbeddings: `l2` is {l2!r}, expected a number >= 0, e.g. `l2=1e-6`.")
        self.layout = index if isinstance(index, TableLayout) else TableLayout.of(index, fields)
        self.dim, self.l2, self.deduplicate = dim, float(l2), deduplicate
        self.initializer = tf.keras.initializers.get(initializer)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(inputs.sides if isinstance(inputs, Inputs) else inputs, *args, **kwargs)

    def build(self, input_shape: Any) -> None:
        shapes = [tuple(shape) for shape in input_shape] if isinstance(input_shape, (list, tuple)) else [input_shape]
        if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes):
            raise ShapeError(
                f"FieldEmbeddings: got {shapes}, expected the two sides [(batch, user_width), (batch, item_width)]. "
                "Call it with `Inputs(index)` or with `[user_ids, item_ids]`."
            )
        self._add_table()
        super().build(input_shape)

    def _add_table(self) -> None:
        self.table = self.add_weight(
            name="table", shape=(self.layout.rows, self.dim), initializer=self.initializer, trainable=True
        )

    @unconverted
    def call(self, inputs: list[tf.Tensor], training: Any = None) -> list[tf.Tensor]:
        layouts = (self.layout.user, self.layout.item)
        chosen = [_columns(ids, places) for ids, places in zip(inputs, layouts, strict=True)]  # (batch, columns) each
        rows = [ids + _offsets(places) for ids, places in zip(chosen, layouts, strict=True) if places]
        vectors = iter(self._look_up(rows, once=self.deduplicate and is_training(training)))
        sides = [
            _pool(ids, tf.cast(next(vectors), self.compute_dtype), places)
            if places
            else tf.zeros([tf.shape(ids)[0], 0, self.dim], self.compute_dtype)
            for ids, places in zip(chosen, layouts, strict=True)
        ]
        if self.l2 > 0:
            for side, places in zip(sides, layouts, strict=True):
                if places:
                    self.add_loss(self.l2 * tf.reduce_mean(tf.reduce_sum(tf.square(side), axis=[1, 2])))
        return sides

    def _look_up(self, rows: list[tf.Tensor], *, once: bool) -> list[tf.Tensor]:
        return look_up_once(self.table, rows) if once else look_up(self.table, rows)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layout": self.layout.to_config(),
            "dim": self.dim,
            "l2": self.l2,
            "deduplicate": self.deduplicate,
            "initializer": tf.keras.initializers.serialize(self.initializer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FieldEmbeddings:
        config = dict(config)
        return cls(TableLayout.from_config(config.pop("layout")), **config)


def is_training(training: Any) -> bool:
    """Whether the call is known to be for training: an Estimator says so by Keras' learning phase alone."""
    training = phase(training)
    return not tf.is_tensor(training) and bool(training)


def phase(training: Any) -> Any:
    """`training` as it was given, or else Keras' learning phase: true, false or a tensor."""
    return tf.compat.v1.keras.backend.learning_phase() if training is None else training


def _columns(ids: tf.Tensor, places: Sequence[Place]) -> tf.Tensor:
    """The columns of one side's ids that are looked up, in the order of `places`."""
    columns = [place.start + i for place in places for i in range(place.length)]
    if not columns or columns != list(range(columns[0], columns[-1] + 1)):
        return tf.gather(ids, tf.constant(columns, tf.int32), axis=1)
    # Neighbours are a slice, which takes a fifth of a gather's time.
    return ids if len(columns) == ids.shape[1] else ids[:, columns[0] : columns[-1] + 1]


def _offsets(places: Sequence[Place]) -> tf.Tensor:
    return tf.constant([place.offset for place in places for _ in range(place.length)], dtype=tf.int32)


def _pool(ids: tf.Tensor, vectors: tf.Tensor, places: Sequence[Place]) -> tf.Tensor:
    """One vector per place: `(batch, columns, dim)` to `(batch, fields, dim)`."""
    if not any(place.pooled for place in places):
        return vectors
    parts, at = [], 0
    for pooled, run in groupby(places, key=lambda place: place.name if place.pooled else None):
        length = sum(place.length for place in run)
        part = vectors[:, at : at + length]
        parts.append(part if pooled is None else _mean(part, ids[:, at : at + length]))
        at += length
    return tf.concat(parts, axis=1)


def _mean(vectors: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
    """Mean over the values that are not padding: `(batch, length, dim)` to `(batch, 1, dim)`."""
    # Not `!=`: in the graph of an Estimator that compares the objects.
    present = tf.cast(tf.not_equal(ids, MISSING_ROW), vectors.dtype)  # (batch, length)
    share = tf.math.divide_no_nan(present, tf.reduce_sum(present, axis=1, keepdims=True))
    return tf.matmul(share[:, tf.newaxis, :], vectors)
