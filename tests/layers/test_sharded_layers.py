"""Layers in parts: what the whole ones give, by the same routes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.layers.sharded import ShardedDense, ShardedEmbedding, ShardedFieldEmbeddings, ShardedSidedDense
from ctrkit.optimizers import is_table
from tests.layers import test_field_embeddings, test_sided_layers
from tests.layers.contract import DifferentiableContract
from tests.layers.index import random_ids, small_index


def whole(layer: Any) -> Any:
    """What the whole layer's weights would be: row r is row `r // parts` of the part `r % parts`."""
    parts, others = layer.get_weights()[: layer.parts], layer.get_weights()[layer.parts :]
    rows = sum(len(part) for part in parts)
    return SimpleNamespace(
        get_weights=lambda: [np.stack([parts[r % len(parts)][r // len(parts)] for r in range(rows)]), *others]
    )


class TestShardedFieldEmbeddings(test_field_embeddings.TestFieldEmbeddings):
    def layer(self) -> ShardedFieldEmbeddings:
        return ShardedFieldEmbeddings(small_index(), dim=3, fields=self.fields, parts=3)

    def expected(self, layer: Any, inputs: list[np.ndarray]) -> Any:
        return super().expected(whole(layer), inputs)


class TestShardedSidedDense(test_sided_layers.TestSidedDense):
    def layer(self) -> ShardedSidedDense:
        return ShardedSidedDense(6, "tanh", parts=7)

    def expected(self, layer: Any, inputs: list[np.ndarray]) -> Any:
        return super().expected(whole(layer), inputs)


class TestShardedDense(DifferentiableContract):
    def layer(self) -> ShardedDense:
        return ShardedDense(4, "tanh", parts=2)

    def inputs(self, user_batch: int, item_batch: int) -> np.ndarray:
        return np.random.default_rng(1).normal(size=(user_batch, 5)).astype("float32")

    def expected(self, layer: Any, inputs: np.ndarray) -> Any:
        kernel, bias = whole(layer).get_weights()
        return np.tanh(inputs @ kernel + bias)


class TestShardedEmbedding(DifferentiableContract):
    def layer(self) -> ShardedEmbedding:
        return ShardedEmbedding(11, 4, parts=2)

    def inputs(self, user_batch: int, item_batch: int) -> np.ndarray:
        return np.random.default_rng(1).integers(0, 11, (user_batch, 3)).astype("int32")

    def expected(self, layer: Any, inputs: np.ndarray) -> Any:
        return whole(layer).get_weights()[0][inputs]


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2, 3)])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_embeddings_of_ids_of_any_rank_and_type(shape: tuple[int, ...], dtype: str) -> None:
    ids = np.random.default_rng(1).integers(0, 11, shape)
    layer = ShardedEmbedding(11, 4, parts=3)
    layer(ids)
    DifferentiableContract._stir(layer)
    np.testing.assert_array_equal(layer(ids.astype(dtype)), whole(layer).get_weights()[0][ids])


def test_each_part_gets_one_slice_for_each_of_its_rows_in_the_batch() -> None:
    index = small_index()
    layer, ids = ShardedFieldEmbeddings(index, dim=2, l2=0.1, parts=3), random_ids(index, 50)
    with tf.GradientTape() as tape:
        user, item = layer([ids[:, : index.user_width], ids[:, index.user_width :]])
        loss = tf.reduce_sum(user) + tf.reduce_sum(item) + tf.add_n(layer.losses)
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert isinstance(gradient, tf.IndexedSlices)
        assert len(set(gradient.indices.numpy())) == len(gradient.indices)


def test_optimizers_know_the_parts_of_tables() -> None:
    index = small_index()
    ids = random_ids(index, 2)
    layers = [ShardedFieldEmbeddings(index, dim=2, parts=2, name="a"), ShardedEmbedding(9, 2, parts=2, name="b")]
    layers[0]([ids[:, : index.user_width], ids[:, index.user_width :]])
    layers[1](np.array([8]))
    names = [weight.name for layer in layers for weight in layer.weights]
    assert names == ["a/table/part_0:0", "a/table/part_1:0", "b/embeddings/part_0:0", "b/embeddings/part_1:0"]
    assert all(is_table(weight) for layer in layers for weight in layer.weights)
    dense = ShardedDense(2, parts=2)
    dense(np.zeros((1, 4), "float32"))
    assert not any(is_table(weight) for weight in dense.weights)
