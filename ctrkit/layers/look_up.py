"""Read rows of a table, whole or in parts: as they come, or each row of a batch once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def look_up(table: tf.Variable, rows: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Vectors of each tensor of `rows`, int32 `(batch, columns)` to float `(batch, columns, dim)`."""
    return [tf.gather(table, some) for some in rows]


def look_up_once(table: tf.Variable, rows: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The same vectors, with every distinct row read once for all tensors of `rows` together.

    The gradient of the table then holds one summed slice per distinct row: the optimizer need not look for duplicates,
    and a table on another machine sends and receives each row once.
    """
    distinct, places = _distinct(rows)
    vectors: list[tf.Tensor] = _spread(tf.gather(table, distinct), *places)
    return vectors


def look_up_in_parts(parts: Sequence[tf.Variable], rows: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The same vectors out of a table of which row r is row `r // len(parts)` of the part `r % len(parts)`.

    Each part is asked once, for the distinct rows of the batch that lie in it, and gets one summed slice for each.
    """
    distinct, places = _distinct(rows)
    part = tf.cast(tf.math.floormod(distinct, len(parts)), tf.int32)
    # `ctrkit.optimizers.distinct` knows this pattern: quotients of distinct numbers with one remainder are distinct.
    asked = tf.dynamic_partition(tf.math.floordiv(distinct, len(parts)), part, len(parts))
    places_of = tf.dynamic_partition(tf.range(tf.size(distinct)), part, len(parts))
    vectors = tf.dynamic_stitch(places_of, [tf.gather(table, some) for table, some in zip(parts, asked, strict=True)])
    spread: list[tf.Tensor] = _spread(vectors, *places)
    return spread


def _distinct(rows: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The distinct values of all tensors `(batch, columns)`, and where among them each value of each tensor is."""
    flat = [tf.reshape(some, [-1]) for some in rows]
    distinct, places = tf.unique(flat[0] if len(flat) == 1 else tf.concat(flat, axis=0))
    split = [places] if len(flat) == 1 else tf.split(places, [tf.size(some) for some in flat])
    return distinct, [tf.reshape(part, [-1, some.shape[1]]) for part, some in zip(split, rows, strict=True)]


@tf.custom_gradient
def _spread(vectors: tf.Tensor, *places: tf.Tensor) -> tuple[list[tf.Tensor], Callable[..., Any]]:
    """Repeat `vectors` at all their places; TensorFlow's own gradient would copy both sides' slices into one tensor."""

    def gradient(*upstream: tf.Tensor) -> list[tf.Tensor | None]:
        count = tf.shape(vectors)[0]
        sums = [tf.math.unsorted_segment_sum(g, p, count) for g, p in zip(upstream, places, strict=True)]
        return [sums[0] if len(sums) == 1 else tf.add(*sums), *(None for _ in places)]

    return [tf.gather(vectors, some) for some in places], gradient
