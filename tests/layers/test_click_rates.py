"""Click rates: right in use, blind to a row's own label while training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.layers import ClickCounts, ClickRates, Inputs, SidedConcat, fold_of, shard
from ctrkit.models import wide_deep
from tests.layers.contract import Arrays, DifferentiableContract, VectorsContract
from tests.layers.index import random_ids, small_index


def smoothed(clicks: float, others: float, *, strength: float, base: float) -> float:
    """Log-odds of the smoothed rate above those of the whole log, by way of probabilities."""
    rate = 1 / (1 + math.exp(-base))
    p = (clicks + strength * rate) / (clicks + others + strength)
    return math.log(p / (1 - p)) - math.log(rate / (1 - rate))


def rates_by_hand(layer: ClickRates, inputs: Arrays, folds: np.ndarray | None = None) -> list[np.ndarray]:
    base = float(layer.get_weights()[0])
    sides = []
    for counts in inputs[:2]:
        found = np.zeros((*counts.shape[:2], layer.copies), "float32")
        for row, field in np.ndindex(*counts.shape[:2]):
            pairs = counts[row, field].reshape(-1, 2)
            left = [pair for fold, pair in enumerate(pairs) if folds is None or folds[row] != fold]
            clicks, others = np.sum(left, axis=0)
            found[row, field] = smoothed(clicks, others, strength=layer.strength, base=base)
        sides.append(found)
    return sides


class TestClickRates(DifferentiableContract):
    def layer(self) -> ClickRates:
        return ClickRates(5.0, copies=2)

    def inputs(self, user_batch: int, item_batch: int) -> Arrays:
        random = np.random.default_rng(2)
        counts = [random.integers(0, 9, (b, f, 6)) for b, f in ((user_batch, 2), (item_batch, 3))]
        ids = [random.integers(0, 50, (b, w)) for b, w in ((user_batch, 2), (item_batch, 4))]
        return [*(one.astype("float32") for one in counts), *(one.astype("int32") for one in ids)]

    def expected(self, layer: ClickRates, inputs: Arrays) -> list[np.ndarray]:
        return rates_by_hand(layer, inputs)

    @pytest.mark.parametrize("batch", [1, 6])
    @pytest.mark.parametrize("training", [True, 1, tf.constant(True)])
    def test_while_training_a_rows_own_fold_is_left_out(self, batch: int, training: Any) -> None:
        layer, inputs = self.layer(), self.inputs(batch, batch)
        folds = fold_of(inputs[2:], 3).numpy()
        found = layer([tf.constant(one) for one in inputs], training=training)
        for side, expected in zip(found, rates_by_hand(layer, inputs, folds), strict=True):
            np.testing.assert_allclose(side, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("training", [False, 0, None, tf.constant(False)])
    def test_in_use_all_folds_count(self, training: Any) -> None:
        layer, inputs = self.layer(), self.inputs(6, 6)
        found = layer([tf.constant(one) for one in inputs], training=training)
        for side, expected in zip(found, rates_by_hand(layer, inputs), strict=True):
            np.testing.assert_allclose(side, expected, rtol=1e-5, atol=1e-6)

    def test_one_user_and_many_candidates_keep_their_batches(self) -> None:
        user, item = self.layer()([tf.constant(one) for one in self.inputs(1, 4)])
        assert (user.shape, item.shape) == ((1, 2, 2), (4, 3, 2))

    def test_what_nobody_counted_is_zero(self) -> None:
        empty = [np.zeros((2, 3, 8), "float32"), np.zeros((2, 0, 8), "float32")]
        user, item = ClickRates(1.0)([*empty, np.zeros((2, 3), "int32"), np.zeros((2, 0), "int32")], training=True)
        np.testing.assert_array_equal(user, np.zeros((2, 3, 1)))
        assert item.shape == (2, 0, 1)


class TestSidedConcat(VectorsContract):
    def layer(self) -> SidedConcat:
        return SidedConcat()

    def expected(self, layer: SidedConcat, inputs: Any) -> list[np.ndarray]:
        return [side.reshape(len(side), side.shape[1] * side.shape[2]) for side in inputs]

    def test_pairs_come_one_behind_another_on_their_own_side(self) -> None:
        (user, item), flat = self.inputs(1, 3), np.arange(6, dtype="float32").reshape(3, 2)
        found = SidedConcat()([user, item, np.zeros((1, 0), "float32"), flat])
        np.testing.assert_array_equal(found[0], user.reshape(1, -1))
        np.testing.assert_array_equal(found[1], np.concatenate([item.reshape(3, -1), flat], axis=1))


@pytest.mark.parametrize("folds", [2, 4, 7])
def test_folds_are_alike_in_size_and_no_single_column_decides_them(folds: int) -> None:
    ids = np.stack(np.meshgrid(np.arange(60), np.arange(40), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 3)
    fold = fold_of([tf.constant(ids, tf.int32)], folds).numpy()
    for column in range(3):
        for value in np.unique(ids[:, column])[:5]:
            share = np.bincount(fold[ids[:, column] == value], minlength=folds) / (ids[:, column] == value).sum()
            assert np.abs(share - 1 / folds).max() < 0.1


def test_equal_rows_share_a_fold_wherever_their_columns_are_cut() -> None:
    ids = random_ids(small_index(), 50)
    whole = fold_of([tf.constant(np.concatenate([ids, ids]))], 4).numpy()
    np.testing.assert_array_equal(whole[:50], whole[50:])
    np.testing.assert_array_equal(fold_of([ids[:, :2], ids[:, 2:]], 4), whole[:50])
    assert fold_of([tf.zeros([3, 0], tf.int32), tf.constant([[2**31 - 1], [-1], [0]])], 2).shape == (3,)


def test_a_fold_never_changes_from_release_to_release() -> None:
    ids = tf.constant([[1, 2, 3], [3, 2, 1], [0, 0, 0], [2**31 - 1, 7, 70_000]])
    assert fold_of([ids], 4).numpy().tolist() == [1, 3, 3, 3]  # Of the polynomial, in whole numbers.


def test_a_frozen_and_thawed_model_does_not_learn_its_counts() -> None:
    model = wide_deep(small_index(), dim=2, hidden=(4,), click_rates=3.0)
    names = [weight.name for weight in model.trainable_weights]
    model.trainable = False
    model.trainable = True
    assert [weight.name for weight in model.trainable_weights] == names
    assert not any("click" in name for name in names)


def test_halves_do_not_cut_large_counts() -> None:
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        index = small_index()
        inputs = Inputs(index)
        counts = ClickCounts(index)
        model = tf.keras.Model(inputs.ids, ClickRates(1.0)([*counts(inputs), *inputs.sides]))
        counts.set_weights([np.full(counts.table.shape, 90_000.0)])
        for side in model(random_ids(index, 3)):
            np.testing.assert_allclose(side, 0, atol=1e-4)  # As many clicks as others: the rate that no count has, too.
        scores = wide_deep(index, click_rates=1.0)(random_ids(index, 3))
        assert np.isfinite(scores).all()
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def test_counts_can_lie_on_several_machines() -> None:
    index = small_index()
    model, ids = wide_deep(index, dim=2, hidden=(4,), click_rates=3.0), random_ids(index, 9)
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0, 1, weight.shape) for weight in model.get_weights()])
    (place,) = [i for i, weight in enumerate(model.weights) if weight.name.startswith("click_counts")]
    parted = shard(model, {place: 3})
    weights = model.get_weights()
    parted.set_weights([*weights[:place], *(weights[place][part::3] for part in range(3)), *weights[place + 1 :]])
    np.testing.assert_allclose(parted(ids), model(ids), rtol=1e-6)
    assert not any(weight.name.startswith("click_counts") for weight in parted.trainable_weights)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ClickRates: `strength` is 0, expected a number > 0"):
        ClickRates(0)
    with pytest.raises(ConfigError, match=r"ClickRates: `copies` is 0, expected an integer >= 1"):
        ClickRates(1.0, copies=0)
    with pytest.raises(ConfigError, match=r"ClickCounts: `folds` is 1, expected an integer >= 2"):
        ClickCounts(small_index(), folds=1)
    with pytest.raises(ConfigError, match=r"`click_rates` is -1.0, expected a number >= 0.*or 0 for none"):
        wide_deep(small_index(), click_rates=-1.0)
    counts, ids = np.zeros((2, 3, 8), "float32"), np.zeros((2, 3), "int32")
    for wrong in ([counts, counts], [counts, counts[:, :, :6], ids, ids], [counts[:, :, :5]] * 2 + [ids] * 2):
        with pytest.raises(
            ShapeError, match=r"expected counts .*`ClickRates\(10.0\)\(\[\*ClickCounts\(index\)\(inputs\)"
        ):
            ClickRates(1.0)(wrong)
    with pytest.raises(ShapeError, match=r"SidedConcat: got .*expected a pair"):
        SidedConcat()([np.zeros((2, 3), "float32")])
