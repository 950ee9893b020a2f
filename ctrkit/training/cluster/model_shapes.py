"""Learn the names and shapes of a model's weights without allocating them."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ctrkit.layers import FieldEmbeddings, SidedDense
from ctrkit.optimizers import is_table
from ctrkit.training.cluster.items import WeightShape
from ctrkit.training.keras_classes import keras_classes_kept

_KERNELS = (tf.keras.layers.Dense, SidedDense)  # Layers whose kernel can be split by rows.


def weight_shapes(build: Callable[[], tf.keras.Model]) -> list[WeightShape]:
    """Build a model in a graph that never runs, and describe its weights: 0 bytes, however many rows its tables have.

    Args:
        build: makes the model, e.g. `lambda: wide_deep(index)`.
    """
    with keras_classes_kept(), tf.Graph().as_default():
        return describe_weights(build())


def describe_weights(model: tf.keras.Model) -> list[WeightShape]:
    """Describe the weights of a model, in its order."""
    owners = {id(weight): layer for layer in _layers(model) for weight in layer.weights}
    return [_describe(weight, owners.get(id(weight))) for weight in model.weights]


def _describe(weight: tf.Variable, layer: tf.keras.layers.Layer | None) -> WeightShape:
    fields = None
    splittable = isinstance(layer, _KERNELS) and weight is layer.kernel
    if isinstance(layer, FieldEmbeddings) and weight is layer.table:
        places = sorted((*layer.layout.user, *layer.layout.item), key=lambda place: place.offset)
        fields, splittable = tuple(place.name for place in places), True
    elif isinstance(layer, tf.keras.layers.Embedding):
        splittable = True
    return WeightShape(
        name=weight.name.removesuffix(":0"),
        shape=tuple(int(size) for size in weight.shape),
        is_table=is_table(weight),
        splittable=splittable,
        fields=fields,
    )


def _layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """All layers that hold weights of their own, those of models inside the model among them."""
    return [layer for layer in model._flatten_layers() if not isinstance(layer, tf.keras.Model)]
