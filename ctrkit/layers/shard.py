"""Split weights of a model by rows, and find the whole weights again among the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers.click_counts import ClickCounts
from ctrkit.layers.field_embeddings import FieldEmbeddings
from ctrkit.layers.sharded import ShardedDense, ShardedEmbedding, ShardedFieldEmbeddings, ShardedSidedDense
from ctrkit.layers.sided_dense import SidedDense

# Layer class -> the weight that can be split, and the class that splits it. A subclass may use the weight in any way.
_SHARDED: dict[type, tuple[str, type]] = {
    FieldEmbeddings: ("table", ShardedFieldEmbeddings),
    ClickCounts: ("table", ShardedFieldEmbeddings),
    tf.keras.layers.Embedding: ("embeddings", ShardedEmbedding),
    tf.keras.layers.Dense: ("kernel", ShardedDense),
    SidedDense: ("kernel", ShardedSidedDense),
}
# Those that are sums over rows, or treat each number by itself; for others a part is no stand-in for its share.
_REGULARIZERS = (type(None), tf.keras.regularizers.L1, tf.keras.regularizers.L2, tf.keras.regularizers.L1L2)
_CONSTRAINTS = (type(None), tf.keras.constraints.NonNeg)


def splittable(model: tf.keras.Model) -> set[int]:
    """Places in `model.weights` of the weights that `shard` can split."""
    return set(_owners(model))


def shard(model: tf.keras.Model, parts: Mapping[int, int]) -> tf.keras.Model:
    """Return a clone of a functional model in which weight i of `model.weights` consists of `parts[i]` variables.

    Row r of the weight is row `r // parts[i]` of the variable `<name of the weight>/part_<r % parts[i]>`. The clone's
    split weights are zeros: give it values by `clone.set_weights(cut(model.get_weights(), parts))`.

    Args:
        model: functional; it is left as it is.
        parts: place in `model.weights` -> number of parts; what is missing, or has 1, stays whole.
    Raises:
        ConfigError: a place outside of the weights, a weight that cannot be split, or more parts than rows.
    """
    owners, wanted = _owners(model), split_only(parts)
    for place, count in wanted.items():
        if not 0 <= place < len(model.weights):
            raise ConfigError(f"Model {model.name!r} has {len(model.weights)} weights, none at place {place}.")
        weight = model.weights[place]
        if place not in owners:
            raise ConfigError(
                f"Weight {place} of model {model.name!r} ({weight.name}) cannot be split: only the tables and kernels "
                "of FieldEmbeddings, SidedDense, and Keras' Embedding and Dense can, where they are layers of the "
                "model itself and have no regularizer or constraint over whole rows. Leave it out of `parts`."
            )
        if not 1 <= count <= weight.shape[0]:
            raise ConfigError(
                f"Weight {place} of model {model.name!r} ({weight.name}) has {weight.shape[0]:,} rows, got parts="
                f"{count:,}: expected 1 to as many as there are rows."
            )
    counts = {id(owners[place]): count for place, count in wanted.items()}

    def clone(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        if id(layer) not in counts:
            return type(layer).from_config(layer.get_config())
        _, sharded = _SHARDED[type(layer)]
        return sharded.from_config({**layer.get_config(), "parts": counts[id(layer)]})  # type: ignore[attr-defined]

    return tf.keras.models.clone_model(model, clone_function=clone)


def logical_weights(
    weights: tf.keras.Model | Sequence[tf.Variable], parts: Mapping[int, int] | None = None
) -> list[list[tf.Variable]]:
    """Group variables by the whole weight that they are parts of: list i holds the parts of weight i, in order.

    Args:
        weights: a model, sharded or not, or its weights in order, e.g. those of a clone in a graph.
        parts: as given to `shard`; needed for weights without their model.
    Raises:
        ConfigError: the weights do not fit the parts.
    """
    if isinstance(weights, tf.keras.Model):
        parts, weights = parts_of(weights), weights.weights
    left, counts = list(weights), split_only(parts or {})
    grouped: list[list[tf.Variable]] = []
    while left:
        count = counts.pop(len(grouped), 1)
        grouped.append(left[:count])
        left = left[count:]
    if counts or any(len({tuple(part.shape[1:]) for part in group}) != 1 for group in grouped):
        raise ConfigError(
            f"{len(weights)} weights do not fit parts={dict(parts or {})}. Give the parts that `shard` was given."
        )
    return grouped


def parts_of(model: tf.keras.Model) -> dict[int, int]:
    """Place of each split weight among the whole weights of a sharded model -> number of parts."""
    firsts = {}
    for layer in model.layers:
        if type(layer) in {sharded for _, sharded in _SHARDED.values()}:
            firsts[id(layer.shards[0])] = layer.parts
    found, place, at = {}, 0, 0
    while at < len(model.weights):
        count = firsts.get(id(model.weights[at]), 1)
        if count > 1:
            found[place] = count
        place, at = place + 1, at + count
    return found


def cut(values: Sequence[np.ndarray], parts: Mapping[int, int]) -> list[np.ndarray]:
    """Whole weights as the values of the variables of a sharded model, in order; split ones are views."""
    counts = split_only(parts)
    return [piece for place, value in enumerate(values) for piece in pieces(value, counts.get(place, 1))]


def pieces(value: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows of each part; a view. One part is the whole, whatever its shape."""
    return [value] if count == 1 else [value[part::count] for part in range(count)]


def split_only(parts: Mapping[int, int]) -> dict[int, int]:
    """`parts` without the weights that stay whole."""
    return {int(place): int(count) for place, count in sorted(parts.items()) if count != 1}


def _owners(model: tf.keras.Model) -> dict[int, Any]:
    """Place of each weight that can be split -> its layer."""
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    owners = {}
    for layer in model.layers:
        if type(layer) in _SHARDED and _is_divisible(layer):
            place = places.get(id(getattr(layer, _SHARDED[type(layer)][0])))
            if place is not None:
                owners[place] = layer
    return owners


def _is_divisible(layer: tf.keras.layers.Layer) -> bool:
    """Whether the layer has a weight, and nothing but its rows matters in how it is used."""
    name = _SHARDED[type(layer)][0]
    return (
        layer.built
        and type(getattr(layer, f"{name}_regularizer", None)) in _REGULARIZERS
        and type(getattr(layer, f"{name}_constraint", None)) in _CONSTRAINTS
        and not getattr(layer, "sparse", False)
        and not getattr(layer, "_use_one_hot_matmul", False)
    )
