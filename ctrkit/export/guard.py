"""Send ids out of range to the out-of-vocabulary row, in the graph, for models that do not do it themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ctrkit.indexing import OOV_ROW, FeatureIndex

LARGEST_ID = np.iinfo(np.int32).max


def guarded(ids: tf.Tensor, rows: np.ndarray) -> tf.Tensor:
    """`ids`, int32 `(batch, width)`, with those outside of `[0, rows)` of their column replaced by the OOV row."""
    if len(rows) == 0:
        return ids
    known = tf.bitcast(ids, tf.uint32) < tf.constant(rows.astype(np.uint32))  # A negative id is a huge unsigned one.
    # Not `tf.where` with a scalar: where nothing broadcasts, it takes a quarter of the time.
    return tf.raw_ops.Select(condition=known, x=ids, y=tf.fill(tf.shape(ids), OOV_ROW))


def guards_itself(score: Callable[[tf.Tensor], tf.Tensor], index: FeatureIndex, row: np.ndarray) -> bool:
    """Try every column of `row`, int32 `[width]`, with ids out of range: True when each scores as the OOV row does.

    Call it where `score` runs on a CPU: there a gather refuses an id out of range, a GPU would read zeros.
    """
    column = np.arange(index.width)
    expected, probes = np.tile(row, (index.width, 1)), np.tile(row, (index.width, 1))
    expected[column, column] = OOV_ROW
    wrong = (np.full(index.width, -1), index.rows_per_column, np.full(index.width, LARGEST_ID))
    try:
        wanted = np.asarray(score(tf.constant(expected)))
        for beyond in wrong:
            probes[column, column] = beyond
            if not np.array_equal(np.asarray(score(tf.constant(probes))), wanted):
                return False
    except (tf.errors.OpError, ValueError, IndexError):
        return False
    return True
