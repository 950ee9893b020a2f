"""One optimizer for tables and one for the rest: under Keras and under an Estimator the same, saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers import ClickProbability, FieldEmbeddings, Inputs, SidedDense, SidedSum
from ctrkit.optimizers import LazyAdam, SplitOptimizer, build_optimizer, is_table
from tests.layers.index import random_ids, small_index

legacy = tf.keras.optimizers.legacy
INDEX = small_index()
IDS = random_ids(INDEX, 64)
LABELS = np.random.default_rng(1).integers(0, 2, (64, 1)).astype("float32")
SCHEDULE = tf.keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=3, decay_rate=0.5)


def click_model() -> tf.keras.Model:
    """A table of vectors, a table of weights, two dense layers; the same weights every time."""
    tf.keras.utils.set_random_seed(3)
    inputs = Inputs(INDEX)
    hidden = SidedDense(5, "relu")(FieldEmbeddings(INDEX, dim=4, l2=1e-3)(inputs))
    wide = SidedSum()(FieldEmbeddings(INDEX, dim=1)(inputs))
    return tf.keras.Model(inputs.ids, ClickProbability(name="ctr")([tf.keras.layers.Dense(1)(hidden), wide]))


def batches(start: int = 0) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(({"ids": IDS[start:]}, LABELS[start:])).batch(16)


def fitted(optimizer: Any, epochs: int = 1, model: tf.keras.Model | None = None, eager: bool = False) -> tf.keras.Model:
    """Trained on four batches an epoch; `eager` is quicker, for it traces no graph."""
    model = click_model() if model is None else model
    model.compile(optimizer, "binary_crossentropy", run_eagerly=eager)
    model.fit(batches(), epochs=epochs, verbose=0)
    return model


def test_tables_are_known_by_their_own_name() -> None:
    found = {variable.name: is_table(variable) for variable in click_model().variables}
    assert sorted(name.split("/")[-1] for name, table in found.items() if table) == ["table:0", "table:0"]
    assert is_table(tf.Variable(1.0, name="embedding_3/embeddings"))
    assert is_table(tf.Variable(1.0, name="linear/table/part_2"))
    assert not is_table(tf.Variable(1.0, name="table/kernel"))
    assert not is_table(tf.Variable(1.0, name="timetable"))


def test_each_variable_goes_to_its_optimizer() -> None:
    start, model = click_model(), fitted(SplitOptimizer(tables=legacy.SGD(0.5), dense=legacy.SGD(0.0)), eager=True)
    for before, after in zip(start.variables, model.variables, strict=True):
        assert np.array_equal(before, after) != is_table(after), after.name
    start, model = click_model(), fitted(SplitOptimizer(tables=legacy.SGD(0.0), dense=legacy.SGD(0.5)), eager=True)
    for before, after in zip(start.variables, model.variables, strict=True):
        assert np.array_equal(before, after) == is_table(after), after.name


def test_two_equal_parts_do_what_one_optimizer_does() -> None:
    split = fitted(SplitOptimizer(legacy.Adam(0.01), legacy.Adam(0.01)), epochs=2, eager=True)
    one = fitted(legacy.Adam(0.01), epochs=2, eager=True)
    for ours, theirs in zip(split.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore:.*set_learning_phase")
@pytest.mark.filterwarnings("ignore:.*Model.state_updates")
@pytest.mark.parametrize("tables", ["adagrad", "ftrl", "lazy_adam"])
def test_an_estimator_stopped_and_resumed_equals_fit(tables: str, tmp_path: Path) -> None:
    def optimizer() -> SplitOptimizer:
        return build_optimizer(tables, SCHEDULE, "adam", SCHEDULE, dense_options={"clipnorm": 1.0})

    model = click_model()
    model.compile(optimizer(), "binary_crossentropy")
    estimator = tf.keras.estimator.model_to_estimator(model, model_dir=str(tmp_path))
    estimator.train(batches)
    estimator.train(batches)  # From the checkpoint: slots and the count of steps must be there.
    assert estimator.get_variable_value("estimator_global_step/.ATTRIBUTES/VARIABLE_VALUE") == 8
    trained = click_model()
    tf.train.Checkpoint(trained).restore(estimator.latest_checkpoint()).expect_partial()
    for ours, theirs in zip(trained.variables, fitted(optimizer(), epochs=2).variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-7)


def test_a_restored_checkpoint_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    optimizer = build_optimizer("lazy_adam", SCHEDULE)
    model = fitted(optimizer)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "step"))
    fitted(optimizer, model=model)
    again, other = click_model(), build_optimizer("lazy_adam", SCHEDULE)
    tf.train.Checkpoint(model=again, optimizer=other).restore(path)
    fitted(other, model=again)
    assert int(other.iterations) == 8
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(other.get_weights()) == len(optimizer.get_weights()) == 1 + 2 * len(model.trainable_variables)


def test_config_round_trip_keeps_schedules_and_options() -> None:
    made = SplitOptimizer(
        legacy.Adagrad(SCHEDULE, initial_accumulator_value=0.3), legacy.Adam(0.01, clipnorm=2.0), name="both"
    )
    again = SplitOptimizer.from_config(made.get_config())
    assert again.get_config() == made.get_config()
    assert again.tables.get_config()["initial_accumulator_value"] == 0.3
    assert float(again.tables.learning_rate(3)) == pytest.approx(0.05)
    assert again.dense.clipnorm == 2.0
    lazy = SplitOptimizer.from_config(build_optimizer("lazy_adam", 0.2).get_config())
    assert isinstance(lazy.tables, LazyAdam)


def test_a_compiled_model_can_be_saved_and_trained_on(tmp_path: Path) -> None:
    model = fitted(build_optimizer())
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(IDS), model.predict_on_batch(IDS))
    assert isinstance(loaded.optimizer, SplitOptimizer)
    loaded.fit(batches(), verbose=0)


def test_a_new_keras_optimizer_is_refused_with_what_to_type() -> None:
    with pytest.raises(ConfigError, match=r"`dense` is Adam, which an Estimator cannot run.*dense=tf.keras.optim"):
        SplitOptimizer(tables=legacy.Adagrad(), dense=tf.keras.optimizers.Adam())


def test_bad_choices_are_named() -> None:
    with pytest.raises(ConfigError, match=r"tables: unknown name 'adagard'. Did you mean 'adagrad'\?"):
        build_optimizer("adagard")
    with pytest.raises(ConfigError, match=r"tables: unknown name 'adam'. Keras' adam decays every row.*'lazy_adam'"):
        build_optimizer("adam")
    with pytest.raises(ConfigError, match=r"dense: the learning rate is 0, expected a number > 0"):
        build_optimizer(dense_learning_rate=0)
    with pytest.raises(ConfigError, match=r"tables: adagrad does not take {'momentum': 0.9}"):
        build_optimizer(table_options={"momentum": 0.9})
