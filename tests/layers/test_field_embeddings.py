"""Embeddings of all fields in one fused table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.layers import FieldEmbeddings, Inputs, TableLayout
from tests.layers.contract import SidedContract
from tests.layers.index import one_sided_index, random_ids, small_index


class TestFieldEmbeddings(SidedContract):
    fields: tuple[str, ...] | None = None

    def layer(self) -> FieldEmbeddings:
        return FieldEmbeddings(small_index(), dim=3, fields=self.fields)

    def inputs(self, user_batch: int, item_batch: int) -> list[np.ndarray]:
        index = small_index()
        ids = random_ids(index, max(user_batch, item_batch))
        ids[0, : index["history"].length] = 0  # An empty sequence.
        return [ids[:user_batch, : index.user_width], ids[:item_batch, index.user_width :]]

    def expected(self, layer: FieldEmbeddings, inputs: list[np.ndarray]) -> Any:
        index, tables, start = small_index(), {}, 0
        for field in index.fields:
            if (self.fields is None or field.name in self.fields) and field.table not in tables:
                tables[field.table] = layer.get_weights()[0][start : start + field.rows]
                start += field.rows
        assert start == len(layer.get_weights()[0])
        ids = np.concatenate(inputs, axis=1)
        vectors = {
            field.name: np.stack([self.mean(tables[field.table], row, field.name) for row in ids[:, field.columns]])
            for field in index.fields
            if self.fields is None or field.name in self.fields
        }
        sides = ([f.name for f in index.user_fields], [f.name for f in index.item_fields])
        empty = np.zeros((len(ids), 0, 3))
        return [
            np.stack([vectors[name] for name in side if name in vectors], axis=1) if set(side) & set(vectors) else empty
            for side in sides
        ]

    @staticmethod
    def mean(table: np.ndarray, rows: np.ndarray, name: str) -> np.ndarray:
        if name != "history":
            return table[rows[0]]
        present = [table[row] for row in rows if row != 0]
        return np.mean(present, axis=0) if present else np.zeros(table.shape[1])


class TestSomeFields(TestFieldEmbeddings):
    fields = ("age_item", "age", "history")  # Named in another order than the index has them.


class TestFieldsOfOneSide(TestFieldEmbeddings):
    fields = ("item", "age_item")


@pytest.mark.parametrize("side", ["user", "item"])
def test_an_index_of_one_side_reads_one_table_once(side: Any) -> None:
    index = one_sided_index(side)
    inputs = Inputs(index)
    model = tf.keras.Model(inputs.ids, FieldEmbeddings(index, dim=2)(inputs))
    ids = random_ids(index, 4)
    user, item = model.predict_on_batch(ids)
    assert (user.shape, item.shape) == (((4, 3, 2), (4, 0, 2)) if side == "user" else ((4, 0, 2), (4, 3, 2)))
    traced = tf.function(model).get_concrete_function(tf.TensorSpec((None, index.width), tf.int32))
    nested = [node for function in traced.graph.as_graph_def().library.function for node in function.node_def]
    nodes = [*traced.graph.as_graph_def().node, *nested]
    assert sum(node.op == "ResourceGather" for node in nodes) == 1


def test_a_sequence_shares_the_rows_of_its_feature() -> None:
    index = small_index()
    layer = FieldEmbeddings(index, dim=2)
    ids = np.zeros((1, index.width), "int32")
    ids[0, 0] = ids[0, index["item"].start] = 4
    user, item = layer([ids[:, : index.user_width], ids[:, index.user_width :]])
    np.testing.assert_allclose(user[0, 0], item[0, 0])
    assert layer.table.shape[0] == sum({field.table: field.rows for field in index.fields}.values())


def test_gradient_stays_sparse_with_one_slice_per_looked_up_id() -> None:
    index = small_index()
    layer, ids = FieldEmbeddings(index, dim=2), random_ids(index, 5)
    with tf.GradientTape() as tape:
        user, item = layer([ids[:, : index.user_width], ids[:, index.user_width :]])
        loss = tf.reduce_sum(user) + tf.reduce_sum(item)
    gradient = tape.gradient(loss, layer.table)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.values.shape == (5 * index.width, 2)


def test_l2_penalizes_the_vectors_of_the_batch_alone() -> None:
    index = small_index()
    layer, ids = FieldEmbeddings(index, dim=2, l2=0.5), random_ids(index, 5)
    user, item = layer([ids[:, : index.user_width], ids[:, index.user_width :]])
    expected = 0.5 * (np.square(user).sum() + np.square(item).sum()) / 5
    assert float(sum(layer.losses)) == pytest.approx(expected, rel=1e-5)
    assert FieldEmbeddings.from_config(layer.get_config()).l2 == 0.5


def test_bad_options_and_inputs_are_named() -> None:
    index = small_index()
    with pytest.raises(ConfigError, match=r"no feature 'itm' in the index. Did you mean 'item'\?"):
        FieldEmbeddings(index, fields=["itm"])
    with pytest.raises(ConfigError, match=r"`fields` must name at least one feature, each once; got \['age', 'age'\]"):
        FieldEmbeddings(index, fields=["age", "age"])
    with pytest.raises(ConfigError, match=r"`dim` is 0, expected an integer >= 1"):
        FieldEmbeddings(index, dim=0)
    with pytest.raises(ConfigError, match=r"`l2` is -1, expected a number >= 0"):
        FieldEmbeddings(index, l2=-1)
    with pytest.raises(ShapeError, match=r"expected the two sides.*Inputs\(index\)"):
        FieldEmbeddings(index)(np.zeros((2, 9), "int32"))


def test_a_table_beyond_int32_is_refused_before_it_is_made() -> None:
    huge = [
        SimpleNamespace(name=name, table=name, side="item", rows=2**30, start=start, length=1)
        for start, name in enumerate("ab")
    ]
    with pytest.raises(ShapeError, match=r"2,147,483,648 rows.*int32.*fields="):
        TableLayout.of(SimpleNamespace(fields=huge, width=2, user_width=0))


@pytest.mark.parametrize("batches", [(5, 5), (1, 4)])
def test_reading_each_row_once_in_training_changes_neither_values_nor_gradients(batches: tuple[int, int]) -> None:
    index, random = small_index(), np.random.default_rng(2)
    user_ids, item_ids = (random_ids(index, rows)[:, side] for rows, side in zip(batches, sides(index), strict=True))
    layer = FieldEmbeddings(index, dim=3)
    layer([user_ids, item_ids])
    mixing = [random.normal(size=vectors.shape) for vectors in layer([user_ids, item_ids])]
    results = []
    for training in (True, False):
        with tf.GradientTape() as tape:
            vectors = layer([user_ids, item_ids], training=training)
            loss = tf.add_n([tf.reduce_sum(some * weights) for some, weights in zip(vectors, mixing, strict=True)])
        gradient = tape.gradient(loss, layer.table)
        results.append((gradient, [*vectors, tf.convert_to_tensor(gradient)]))
    for once, plain in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(once, plain, rtol=1e-5, atol=1e-6)
    rows, all_rows = results[0][0].indices.numpy(), results[1][0].indices.numpy()
    assert sorted(rows) == sorted(set(all_rows)) != sorted(all_rows)
    assert FieldEmbeddings.from_config({**layer.get_config(), "deduplicate": False}).deduplicate is False


def test_training_can_be_compiled_by_xla_without_deduplication() -> None:
    index = small_index()
    layer, ids = FieldEmbeddings(index, dim=2, deduplicate=False), random_ids(index, 5)

    @tf.function(jit_compile=True)
    def loss(user_ids: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        return tf.add_n([tf.reduce_sum(side**2) for side in layer([user_ids, item_ids], training=True)])

    user_ids, item_ids = (ids[:, side] for side in sides(index))
    layer([user_ids, item_ids])
    # Squares: where signs differ, the order of addition could move a sum by more than the bound.
    expected = sum(float(tf.reduce_sum(side**2)) for side in layer([user_ids, item_ids]))
    assert float(loss(tf.constant(user_ids), tf.constant(item_ids))) == pytest.approx(expected, rel=1e-5)


def sides(index: Any) -> tuple[slice, slice]:
    return slice(0, index.user_width), slice(index.user_width, index.width)
