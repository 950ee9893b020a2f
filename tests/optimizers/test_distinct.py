"""Duplicates are summed once in a training step: by the layer, so that the optimizer does not look again."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.models import wide_deep
from ctrkit.optimizers import build_optimizer
from ctrkit.optimizers.distinct import is_distinct
from tests.layers.index import random_ids, small_index


def test_only_the_values_of_unique_are_known_to_be_distinct() -> None:
    seen = {}

    @tf.function
    def look(rows: tf.Tensor) -> tf.Tensor:
        values, places = tf.unique(rows)
        seen.update(
            values=is_distinct(values),
            reshaped=is_distinct(tf.reshape(tf.identity(values), [-1])),
            places=is_distinct(places),
            joined=is_distinct(tf.concat([values, values], axis=0)),
            rows=is_distinct(rows),
        )
        return values

    look(tf.constant([1, 2, 2]))
    assert seen == {"values": True, "reshaped": True, "places": False, "joined": False, "rows": False}
    assert not is_distinct(tf.constant([1, 2]))


@pytest.mark.parametrize("tables", ["adagrad", "ftrl", "lazy_adam", "sgd"])
def test_a_training_step_looks_for_duplicates_in_the_layers_alone(tables: str) -> None:
    index = small_index()
    model, optimizer = wide_deep(index, dim=2, hidden=(3,)), build_optimizer(tables)

    @tf.function
    def step(ids: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.keras.losses.binary_crossentropy(labels, model(ids, training=True)))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    ids = tf.constant(random_ids(index, 4))
    graph = step.get_concrete_function(ids, tf.ones((4, 1))).graph
    unique = [operation.name for operation in graph.get_operations() if operation.type in ("Unique", "UniqueV2")]
    assert len(unique) == 2, unique  # One a layer: vectors and linear weights.
    before = [variable.numpy() for variable in model.trainable_variables]
    step(ids, tf.ones((4, 1)))
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.isfinite(new.numpy()).all()
        assert not np.array_equal(old, new.numpy()), new.name


@pytest.mark.parametrize(
    ("divisor", "modulus", "once", "expected"),
    [(3, 3, True, True), (3, 2, True, False), (3, 3, False, False)],
    ids=["parts of a table", "another cut", "rows that repeat"],
)
def test_rows_of_a_part_are_known_to_be_distinct(divisor: int, modulus: int, once: bool, expected: bool) -> None:
    seen = []

    @tf.function
    def look(rows: tf.Tensor) -> tf.Tensor:
        rows = tf.unique(rows)[0] if once else rows
        part = tf.cast(rows % modulus, tf.int32)
        parts = tf.dynamic_partition(rows // divisor, part, 3)
        seen.extend(is_distinct(tf.identity(one)) for one in parts)
        seen.append(is_distinct(tf.dynamic_partition(rows, part, 3)[0]))
        return parts[0]

    look(tf.constant([1, 2, 2], tf.int64))
    assert seen[:3] == [expected] * 3
    assert not seen[3]
