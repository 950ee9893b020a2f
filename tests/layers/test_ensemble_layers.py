"""Layers of an ensemble: members stay apart, each learns by its own loss, and rare rows stay near zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.layers import BucketPositions, FieldEmbeddings, MemberDense, MemberMean, Ridge, SplitMembers, rarities
from ctrkit.losses import LogLoss
from ctrkit.schema import Categorical, Hashed, Numeric, Schema
from tests.layers.contract import DifferentiableContract, LayerContract, SidedContract, VectorsContract


class TestSplitMembers(VectorsContract):
    def layer(self) -> SplitMembers:
        return SplitMembers(2)

    def expected(self, layer: SplitMembers, inputs: Any) -> np.ndarray:
        half = self.dim // 2
        parts = [np.concatenate(inputs, axis=1)[:, :, m * half : (m + 1) * half] for m in range(2)]
        return np.stack([part.reshape(len(part), -1) for part in parts], axis=1)

    def test_pairs_of_other_lengths_come_behind(self) -> None:
        pair, (wide, _) = self.inputs(3, 3), self.inputs(1, 3)
        both = SplitMembers(2)([*pair, np.concatenate([wide, wide], axis=2), np.zeros((3, 0, 8), "float32")])
        np.testing.assert_array_equal(both[:, :, :10], SplitMembers(2)(pair))
        for m in range(2):
            np.testing.assert_array_equal(both[2, m, 10:], wide.reshape(-1, 4).reshape(-1))

    def test_vectors_that_cannot_be_cut_are_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"length 4 cannot be cut into 3 equal parts.*multiple of 3"):
            SplitMembers(3)(self.inputs(2, 2))
        with pytest.raises(ConfigError, match="`members` is 0, expected an integer >= 1"):
            SplitMembers(0)


class TestMemberDense(DifferentiableContract):
    def layer(self) -> MemberDense:
        return MemberDense(3, "tanh", seed=1)

    def inputs(self, user_batch: int, item_batch: int) -> np.ndarray:
        return np.random.default_rng(2).normal(size=(item_batch, 2, 4)).astype("float32")

    def expected(self, layer: MemberDense, inputs: Any) -> np.ndarray:
        kernel, bias = layer.get_weights()
        return np.stack([np.tanh(inputs[:, m] @ kernel[m] + bias[m]) for m in range(2)], axis=1)

    def test_kernels_are_as_wide_as_those_of_one_members_layer(self) -> None:
        layer, alone = MemberDense(50, seed=0), tf.keras.layers.Dense(50)
        layer(np.zeros((1, 8, 30), "float32"))
        alone(np.zeros((1, 30), "float32"))
        assert layer.kernel.numpy().std() == pytest.approx(alone.kernel.numpy().std(), rel=0.1)

    def test_an_input_without_members_is_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"got \(2, 4\), expected \(batch, members, features\)"):
            MemberDense(3)(np.zeros((2, 4), "float32"))


class TestMemberMean(LayerContract):
    def layer(self) -> MemberMean:
        return MemberMean(-1.0)

    def inputs(self, user_batch: int, item_batch: int) -> np.ndarray:
        return np.random.default_rng(3).normal(size=(item_batch, 4)).astype("float32")

    def expected(self, layer: MemberMean, inputs: Any) -> np.ndarray:
        return (inputs + layer.get_weights()[0]).sum(axis=1, keepdims=True) / 4

    @pytest.mark.parametrize("loss", [LogLoss(), LogLoss(positive_weight=3.0), "binary_crossentropy"])
    def test_each_member_gets_the_gradient_of_its_own_log_loss(self, loss: Any) -> None:
        loss = tf.keras.losses.get(loss)
        loss = loss if isinstance(loss, tf.keras.losses.Loss) else tf.keras.losses.BinaryCrossentropy()
        logits = tf.Variable(3 * self.inputs(6, 6))
        labels, weights = np.array([[0], [1], [1], [0], [1], [0]], "float32"), np.array([1, 2, 0.5, 3, 0, 1], "float32")
        mean = MemberMean()
        with tf.GradientTape(persistent=True) as tape:
            together = loss(labels, tf.keras.activations.sigmoid(mean(logits, training=True)), sample_weight=weights)
            alone = [
                loss(labels, tf.keras.activations.sigmoid(logits[:, m : m + 1]), sample_weight=weights)
                for m in range(4)
            ]
        expected = sum(tf.convert_to_tensor(tape.gradient(one, logits)) for one in alone)
        assert np.abs(expected).max() > 0.05
        np.testing.assert_allclose(tape.gradient(together, logits), expected, rtol=1e-4, atol=1e-7)

    def test_a_logit_without_members_is_refused(self) -> None:
        with pytest.raises(ShapeError, match=r"got \(2, 3, 1\), expected one logit a member"):
            MemberMean()(np.zeros((2, 3, 1), "float32"))


class TestBucketPositions(SidedContract):
    def layer(self) -> BucketPositions:
        return BucketPositions([[1, 5]], [[0, 1], [2, 2]], copies=2)

    def inputs(self, user_batch: int, item_batch: int) -> Any:
        random = np.random.default_rng(4)
        return [
            random.integers(0, 4, (batch, width)).astype("int32") for batch, width in ((user_batch, 2), (item_batch, 3))
        ]

    def expected(self, layer: BucketPositions, inputs: Any) -> list[np.ndarray]:
        # Rows: 0 is missing, 1 out of vocabulary, then come the buckets.
        user = {0: (0, 1), 1: (0, 0), 2: (-1, 0), 3: (-0.5, 0)}
        one = {0: (0, 1), 1: (0, 0), 2: (0, 0), 3: (2, 0)}  # One bucket: row 3 cannot come.
        two = {0: (0, 1), 1: (0, 0), 2: (-1, 0), 3: (1, 0)}
        found = [
            [[user[row[1]]] for row in inputs[0]],
            [[one[row[0]], two[row[2]]] for row in inputs[1]],
        ]
        return [np.tile(np.array(side, "float32"), [1, 1, 2]) for side in found]


def counted_index() -> FeatureIndex:
    features = (
        Categorical(name="ad", oov=2, side="item"),
        Numeric(name="age", boundaries=(18.0, 30.0), side="user"),
        Hashed(name="hour", buckets=8, side="context"),
    )
    return FeatureIndex(
        Schema(label="clicked", features=features),
        {"ad": Vocabulary.of(list("abc"), [70, 20, 10])},
        {"age": (18.0, 30.0)},
    )


def test_rarity_is_one_over_the_count_or_over_an_even_share() -> None:
    index = counted_index()
    found = 1 / rarities(index)[:, 0]
    np.testing.assert_allclose(found[:5], 100 / 5, rtol=1e-6)  # Age: three buckets, missing and out of vocabulary.
    np.testing.assert_allclose(found[5:15], 100 / 10, rtol=1e-6)  # Hours: eight buckets.
    np.testing.assert_allclose(found[15:], [1, 1, 1, 70, 20, 10], rtol=1e-6)


def test_rows_nobody_counted_share_what_the_known_values_leave() -> None:
    index = counted_index()
    bigger = FeatureIndex(
        Schema(label="clicked", features=(*index.schema.features, Categorical(name="rare", side="item"))),
        {**index.vocabularies, "rare": Vocabulary.of(["x"], [40])},
        index.boundaries,
    )
    np.testing.assert_allclose(1 / rarities(bigger)[-3:, 0], [60, 60, 40], rtol=1e-6)


def test_an_epochs_penalties_add_up_to_ridge_regression() -> None:
    index = counted_index()
    ids = np.repeat([[2, 3, 3], [3, 4, 4], [4, 5, 5]], [70, 20, 10], axis=0).astype("int32")
    embeddings = FieldEmbeddings(index, dim=2, fields=["ad"], initializer="normal")
    sides = [ids[:, :2], ids[:, 2:]]
    rarity = [np.ones((100, 0, 1), "float32"), (1 / np.repeat([70, 20, 10], [70, 20, 10])).reshape(-1, 1, 1)]
    layer = Ridge(6.0)
    passed = layer([*embeddings(sides), *(side.astype("float32") for side in rarity)])
    np.testing.assert_array_equal(passed[1], embeddings(sides)[1])
    rows = embeddings.table.numpy()[3:6]
    assert float(layer.losses[0]) * 100 == pytest.approx(3.0 * np.square(rows).sum(), rel=1e-5)


def test_a_negative_ridge_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Ridge: `strength` is -1, expected a number >= 0"):
        Ridge(-1)
