"""Learn the names and shapes of a model's weights without allocating them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ctrkit.layers import FieldEmbeddings
from ctrkit.layers.shard import splittable
from ctrkit.optimizers import is_table
from ctrkit.training.cluster.placement.items import WeightShape
from ctrkit.training.keras_classes import keras_classes_kept


def weight_shapes(build: Callable[[], tf.keras.Model]) -> list[WeightShape]:
    """Build a model in a graph that never runs, and describe its weights: 0 bytes, however many rows its tables have.

    Args:
        build: makes the model, e.g. `lambda: wide_deep(index)`.
    """
    with keras_classes_kept(), tf.Graph().as_default():
        return describe_weights(build())


def describe_weights(model: tf.keras.Model) -> list[WeightShape]:
    """Describe the weights of a model, in its order."""
    tables = {id(layer.table): layer for layer in _layers(model) if isinstance(layer, FieldEmbeddings)}
    can_be_split, trained = splittable(model), {id(weight) for weight in model.trainable_weights}
    return [
        WeightShape(
            name=weight.name.removesuffix(":0"),
            shape=tuple(int(size) for size in weight.shape),
            is_table=is_table(weight),
            splittable=place in can_be_split,
            trainable=id(weight) in trained,
            fields=_fields(tables[id(weight)]) if id(weight) in tables else None,
        )
        for place, weight in enumerate(model.weights)
    ]


def _fields(layer: FieldEmbeddings) -> tuple[str, ...]:
    """The fields whose rows the layer's table holds, in the order of their rows."""
    places = sorted((*layer.layout.user, *layer.layout.item), key=lambda place: place.offset)
    return tuple(place.name for place in places)


def _layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """All layers, those of models inside the model among them."""
    return list(model._flatten_layers())
