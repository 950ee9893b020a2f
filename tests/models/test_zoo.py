"""Every model of the zoo: same scores on every path, broadcast, options, and it learns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.indexing import OOV_ROW, FeatureIndex
from ctrkit.layers import ClickCounts
from ctrkit.metrics import auc
from ctrkit.models import ZOO, build_model, dcn_v2, deepfm, rank_model, wide_deep
from ctrkit.optimizers import build_optimizer
from tests.layers.index import one_sided_index, random_ids, small_index
from tests.models.custom import by_names

SMALL: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "wide_deep": {"dim": 3, "hidden": (6, 4)},
    "deepfm": {"dim": 3, "hidden": (6, 4), "click_rates": 2.0},
    "dcn_v2": {"dim": 3, "hidden": (6,), "depth": 2, "click_rates": 0.5},
    "wide_deep_ensemble": {"members": 3, "dim": 2, "hidden": (6, 4), "ridge": 0.1, "click_rates": 2.0},
}


def small(name: str, index: FeatureIndex | None = None, **options: Any) -> tf.keras.Model:
    """A model whose weights are all different from zero."""
    model = ZOO[name](small_index() if index is None else index, **{**SMALL[name], **options})
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, ClickCounts):
            layer.set_weights([random.integers(0, 9, layer.table.shape)])
    return model


def test_every_model_of_the_zoo_is_tested() -> None:
    assert set(SMALL) == set(ZOO)


@pytest.mark.parametrize("name", ZOO)
class TestEveryModel:
    def test_takes_ids_and_gives_one_probability_a_row(self, name: str) -> None:
        index = small_index()
        model = build_model(name, index, **SMALL[name])
        assert (model.input_names, model.output_names) == (["ids"], ["ctr"])
        assert model.outputs[0].dtype == tf.float32
        for rows in (1, 5):
            scores = model(random_ids(index, rows)).numpy()
            assert scores.shape == (rows, 1)
            assert ((scores > 0) & (scores < 1)).all()

    def test_one_row_scores_the_same_alone_and_in_a_batch(self, name: str) -> None:
        model, ids = small(name), random_ids(small_index(), 6)
        alone = np.concatenate([model(ids[row : row + 1]) for row in range(6)])
        np.testing.assert_allclose(alone, model(ids), rtol=1e-5)

    def test_ranking_with_the_user_sent_once_equals_repeating_the_user(self, name: str) -> None:
        index, model = small_index(), small(name)
        ids = random_ids(index, 7)
        ids[:, : index.user_width] = ids[0, : index.user_width]
        ranking = rank_model(model)
        assert ranking is not None
        assert ranking.input_names == ["user_ids", "item_ids"]
        found = ranking([ids[:1, : index.user_width], ids[:, index.user_width :]])
        np.testing.assert_allclose(found, model(ids), rtol=1e-5)
        assert {id(v) for v in ranking.variables} == {id(v) for v in model.variables}

    def test_an_id_out_of_range_scores_as_out_of_vocabulary(self, name: str) -> None:
        index, model = small_index(), small(name)
        ids, bad = random_ids(index, 4), random_ids(index, 4)
        bad[0], bad[1], bad[2] = index.rows_per_column, -1, np.iinfo("int32").max
        ids[:3], ids[3] = OOV_ROW, bad[3]
        np.testing.assert_array_equal(model(bad), model(ids))
        sides = [bad[:, : index.user_width], bad[:, index.user_width :]]
        np.testing.assert_allclose(rank_model(model)(sides), model(ids), rtol=1e-6)

    @pytest.mark.parametrize("side", ["user", "item"])
    def test_an_index_of_one_side_is_enough_and_has_nothing_to_rank(self, name: str, side: Any) -> None:
        index = one_sided_index(side)
        model = small(name, index)
        assert model(random_ids(index, 3)).shape == (3, 1)
        assert rank_model(model) is None

    def test_a_clone_and_a_saved_model_score_the_same(self, name: str, tmp_path: Path) -> None:
        model, ids = small(name), random_ids(small_index(), 5)
        clone = tf.keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(clone(ids), model(ids))
        model.save(tmp_path / "model.keras")
        np.testing.assert_array_equal(tf.keras.models.load_model(tmp_path / "model.keras")(ids), model(ids))

    def test_the_same_seed_gives_the_same_model(self, name: str) -> None:
        tf.keras.utils.set_random_seed(1)
        first = ZOO[name](small_index(), **SMALL[name]).get_weights()
        tf.keras.utils.set_random_seed(2)
        second = ZOO[name](small_index(), **SMALL[name]).get_weights()
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_an_untrained_bias_starts_from_the_label_rate(self, name: str) -> None:
        model = ZOO[name](small_index(), label_rate=0.02, **SMALL[name])
        np.testing.assert_allclose(model(random_ids(small_index(), 4)), 0.02, rtol=0.15)

    def test_it_learns_what_the_item_tells(self, name: str) -> None:
        index = small_index()
        ids = random_ids(index, 512)
        labels = (ids[:, [index["item"].start]] % 2).astype("float32")
        model = ZOO[name](index, **SMALL[name])
        model.compile(build_optimizer(table_learning_rate=0.5, dense_learning_rate=0.02), "binary_crossentropy")
        model.fit(ids, labels, batch_size=64, epochs=4, verbose=0)
        assert auc(labels, model.predict_on_batch(ids)) > 0.95


def test_logistic_regression_is_a_sum_of_one_weight_per_value() -> None:
    index, model = small_index(), small("logistic_regression")
    ids = random_ids(index, 4)
    table, bias = model.get_weights()
    np.testing.assert_allclose(model(ids)[:, 0], sigmoid(linear(index, table, ids) + bias), rtol=1e-5)


def test_deepfm_is_linear_plus_pairs_plus_tower() -> None:
    index, model = small_index(), small("deepfm", click_rates=0.0)
    ids, weights = random_ids(index, 4), {v.name.split(":")[0]: v.numpy() for v in model.variables}
    x = vectors(index, weights["embeddings/table"], ids)  # (batch, fields, dim)
    pairs = sum((x[:, i] * x[:, j]).sum(axis=1) for i, j in itertools.combinations(range(x.shape[1]), 2))
    h = x.reshape(len(x), -1)
    for layer in ("hidden_1", "hidden_2"):
        h = np.maximum(h @ weights[f"{layer}/kernel"] + weights[f"{layer}/bias"], 0)
    logit = linear(index, weights["linear/table"], ids) + pairs + (h @ weights["deep_logit/kernel"])[:, 0]
    np.testing.assert_allclose(model(ids)[:, 0], sigmoid(logit + weights["ctr/bias"]), rtol=1e-4)


@pytest.mark.parametrize("model", [wide_deep, deepfm, dcn_v2])
def test_dropout_acts_in_training_alone(model: Any) -> None:
    made, ids = model(small_index(), dim=3, hidden=(32, 32), dropout=0.5), random_ids(small_index(), 8)
    np.testing.assert_array_equal(made(ids, training=False), made(ids, training=False))
    assert not np.array_equal(made(ids, training=True), made(ids, training=True))


@pytest.mark.parametrize("model", [wide_deep, deepfm, dcn_v2])
def test_batch_norm_learns_the_statistics_of_its_inputs(model: Any) -> None:
    made = model(small_index(), dim=3, hidden=(8,), batch_norm=True)
    made.compile(build_optimizer(), "binary_crossentropy")
    made.fit(random_ids(small_index(), 64), np.ones((64, 1)), verbose=0)
    mean = next(v for v in made.variables if "moving_mean" in v.name)
    assert np.abs(mean.numpy()).max() > 0


def test_l2_pulls_the_embeddings_of_the_batch_towards_zero() -> None:
    ids = random_ids(small_index(), 64)
    norms = []
    for l2 in (0.0, 1.0):
        model = deepfm(small_index(), dim=3, hidden=(4,), l2=l2)
        model.compile(build_optimizer(table_learning_rate=0.05), "binary_crossentropy")
        model.fit(ids, np.ones((64, 1)), epochs=3, verbose=0)
        norms.append(np.square(model.get_layer("embeddings").table.numpy()).sum())
    assert norms[1] < 0.9 * norms[0]


def test_low_rank_crosses_need_fewer_weights() -> None:
    full, low = dcn_v2(small_index(), hidden=(4,)), dcn_v2(small_index(), hidden=(4,), rank=2)
    assert low.count_params() < full.count_params() / 2


def test_a_model_without_inputs_cannot_be_cut_for_ranking() -> None:
    x = tf.keras.Input((3,))
    assert rank_model(tf.keras.Model(x, tf.keras.layers.Dense(1)(x))) is None


def test_a_model_by_names_can_be_cut_and_ranks_with_the_user_repeated() -> None:
    index = small_index()
    model, ids = by_names(index), random_ids(index, 4)
    found = rank_model(model)([ids[:, : index.user_width], ids[:, index.user_width :]])
    np.testing.assert_allclose(found, model(ids), rtol=1e-6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def vectors(index: FeatureIndex, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Each field's vector (the mean over a sequence) row by row: `(batch, fields, dim)`."""
    starts: dict[str, int] = {}
    at = 0
    for field in index.fields:
        if field.table not in starts:
            starts[field.table], at = at, at + field.rows
    out = np.zeros((len(ids), len(index.fields), table.shape[1]))
    for i, row in enumerate(ids):
        for j, field in enumerate(index.fields):
            values = [value for value in row[field.columns] if value != 0 or field.name != "history"]
            if values:
                out[i, j] = np.mean([table[starts[field.table] + value] for value in values], axis=0)
    return out


def linear(index: FeatureIndex, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return vectors(index, table, ids).sum(axis=(1, 2))
