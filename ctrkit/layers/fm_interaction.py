"""Pairwise interactions of a factorization machine."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ShapeError
from ctrkit.layers.sides import check_pair, present
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class FMInteraction(tf.keras.layers.Layer):
    """Sum of dot products over all pairs of field embeddings, in O(fields) time.

    Call args:
        inputs: float `(batch, fields, dim)`, or a pair `[user, item]` of such with batches that may be 1 and n; a
            zero vector takes no part.
    Returns:
        float `(batch, 1)` in log-odds: add to other logits before the sigmoid.
    Raises:
        ShapeError: on build, unless the inputs have rank 3.
    Source: Rendle, "Factorization Machines", ICDM 2010, Lemma 3.1.
    """

    def build(self, input_shape: Any) -> None:
        if isinstance(input_shape, (list, tuple)) and input_shape and hasattr(input_shape[0], "__len__"):
            check_pair("FMInteraction", input_shape, ranks=(3,))
        elif len(input_shape) != 3:
            raise ShapeError(
                f"FMInteraction: got {tuple(input_shape)}, expected (batch, fields, dim). "
                "Stack the fields first: `tf.stack(vectors, axis=1)`."
            )
        super().build(input_shape)

    @unconverted
    def call(self, inputs: Any) -> tf.Tensor:
        sides = present(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        sums = [tf.reduce_sum(side, axis=1) for side in sides]  # (batch, dim) each
        squares = [tf.reduce_sum(tf.square(side), axis=[1, 2]) for side in sides]  # (batch,) each
        square_of_sum = tf.reduce_sum(tf.square(sums[0] if len(sums) == 1 else tf.add(*sums)), axis=1)
        sum_of_squares = squares[0] if len(squares) == 1 else tf.add(*squares)
        return 0.5 * (square_of_sum - sum_of_squares)[:, tf.newaxis]
