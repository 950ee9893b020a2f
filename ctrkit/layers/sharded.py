"""Layers whose table or kernel consists of parts that can lie on several machines.

Row r of the whole is row `r // parts` of the part `r % parts`: rows lie by descending count within a field, so that
parts are alike in size and in traffic. Parts start as zeros, since the weights of a model are given to them.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.layers.field_embeddings import FieldEmbeddings
from ctrkit.layers.look_up import look_up_in_parts
from ctrkit.layers.sided_dense import SidedDense
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class ShardedFieldEmbeddings(FieldEmbeddings):
    """`FieldEmbeddings` with its table in `parts` variables, `table/part_0` and so on."""

    def __init__(self, *args: Any, parts: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = parts

    def _add_table(self) -> None:
        self.table = _add_parts(self, "table", (self.layout.rows, self.dim))

    def _look_up(self, rows: list[tf.Tensor], *, once: bool) -> list[tf.Tensor]:
        return look_up_in_parts(self.table, rows)  # Always once: each row crosses the network.

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "parts": self.parts}


@tf.keras.utils.register_keras_serializable("ctrkit")
class ShardedEmbedding(tf.keras.layers.Embedding):
    """Keras' `Embedding` with its vectors in `parts` variables, for dense tensors of ids."""

    def __init__(self, *args: Any, parts: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = parts

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = _add_parts(
            self,
            "embeddings",
            (self.input_dim, self.output_dim),
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            experimental_autocast=False,
        )
        self.built = True

    @unconverted
    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        ids = inputs if inputs.dtype in (tf.int32, tf.int64) else tf.cast(inputs, tf.int32)
        (vectors,) = look_up_in_parts(self.embeddings, [tf.reshape(ids, [-1, 1])])  # (ids, 1, dim)
        shaped = tf.reshape(vectors, tf.concat([tf.shape(ids), [self.output_dim]], axis=0))
        return tf.cast(tf.ensure_shape(shaped, [*ids.shape, self.output_dim]), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "parts": self.parts}


@tf.keras.utils.register_keras_serializable("ctrkit")
class ShardedDense(tf.keras.layers.Dense):
    """Keras' `Dense` with its kernel in `parts` variables, put together at each call."""

    def __init__(self, *args: Any, parts: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = parts

    def build(self, input_shape: Any) -> None:
        width = int(input_shape[-1])
        self.input_spec = tf.keras.layers.InputSpec(min_ndim=2, axes={-1: width})
        _add_parts(
            self, "kernel", (width, self.units), regularizer=self.kernel_regularizer, constraint=self.kernel_constraint
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    @property
    def kernel(self) -> tf.Tensor:
        """The whole kernel, which `Dense` multiplies with."""
        return _together(self.shards)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "parts": self.parts}


@tf.keras.utils.register_keras_serializable("ctrkit")
class ShardedSidedDense(SidedDense):
    """`SidedDense` with its kernel in `parts` variables, put together at each call."""

    def __init__(self, *args: Any, parts: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = parts

    def _add_kernel(self, shape: tuple[int, int]) -> None:
        _add_parts(self, "kernel", shape)

    @property
    def kernel(self) -> tf.Tensor:
        """The whole kernel, which `SidedDense` multiplies with."""
        return _together(self.shards)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "parts": self.parts}


def _add_parts(
    layer: ShardedFieldEmbeddings | ShardedEmbedding | ShardedDense | ShardedSidedDense,
    name: str,
    shape: tuple[int, int],
    **options: Any,
) -> list[tf.Variable]:
    """Make the parts of one weight, `shards`: in order, on which `logical_weights` counts."""
    rows, width = shape
    count = layer.parts
    layer.shards = [
        layer.add_weight(
            name=f"{name}/part_{part}", shape=(len(range(part, rows, count)), width), initializer="zeros", **options
        )
        for part in range(count)
    ]
    return layer.shards


def _together(parts: list[tf.Variable]) -> tf.Tensor:
    """The whole `(rows, width)` of its parts."""
    rows = sum(int(part.shape[0]) for part in parts)
    places = [tf.range(first, rows, len(parts)) for first in range(len(parts))]
    whole = tf.dynamic_stitch(places, [tf.convert_to_tensor(part) for part in parts])
    return tf.ensure_shape(whole, (rows, parts[0].shape[1]))
