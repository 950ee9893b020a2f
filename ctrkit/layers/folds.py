"""Deal rows out to folds by what they hold, so that equal rows share one and a row has the same one in every run."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

_FACTOR = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: its powers spread small numbers over all 64 bits.


def fold_of(sides: Sequence[tf.Tensor], folds: int) -> tf.Tensor:
    """The fold of each row, int32 `(batch,)` in `[0, folds)`, from `[user_ids, item_ids]`, int32 `(batch, width)` each.

    A polynomial hash of the ids modulo 2^64.
    """
    ids = tf.cast(tf.concat(list(sides), axis=1), tf.int64) + 1
    powers = [pow(_FACTOR, place + 1, 2**64) for place in range(ids.shape[1])]
    factors = tf.constant([power - 2**64 if power >= 2**63 else power for power in powers], tf.int64)
    mixed = tf.reduce_sum(ids * factors, axis=1)  # Wraps around, as the hash means it to.
    mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 29)) * factors[0]
    return tf.cast(tf.math.floormod(tf.bitwise.right_shift(mixed, 33), folds), tf.int32)
