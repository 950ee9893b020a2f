"""See in the graph that a sparse gradient names every row once, so that duplicates need not be looked for."""

from __future__ import annotations

import tensorflow as tf


def is_distinct(indices: tf.Tensor) -> bool:
    """True where `indices` are the values of a `tf.unique`, or those of them that lie in one part of a split table.

    Both maybe reshaped. False where the graph does not tell.
    """
    indices = _behind(indices, "Reshape", "Identity")
    if not tf.is_symbolic_tensor(indices):
        return False
    if indices.op.type in ("Unique", "UniqueV2"):
        return indices.value_index == 0
    return indices.op.type == "DynamicPartition" and _are_rows_of_a_part(*indices.op.inputs)


def _are_rows_of_a_part(rows: tf.Tensor, part: tf.Tensor) -> bool:
    """True for the quotients of distinct numbers, partitioned by their remainders: within a part they are distinct."""
    rows, part = _behind(rows, "Identity"), _behind(part, "Identity", "Cast")
    if (rows.op.type, part.op.type) != ("FloorDiv", "FloorMod"):
        return False
    (divided, divisor), (same, modulus) = rows.op.inputs, part.op.inputs
    return divided is same and _is_same_constant(divisor, modulus) and is_distinct(divided)


def _is_same_constant(one: tf.Tensor, other: tf.Tensor) -> bool:
    values = [tf.get_static_value(tensor) for tensor in (one, other)]
    return values[0] is not None and values[1] is not None and values[0] == values[1]


def _behind(tensor: tf.Tensor, *kinds: str) -> tf.Tensor:
    """What `tensor` is computed from, past operations of these kinds."""
    while tf.is_symbolic_tensor(tensor) and tensor.op.type in kinds:
        tensor = tensor.op.inputs[0]
    return tensor
