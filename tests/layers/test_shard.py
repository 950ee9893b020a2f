"""Models cut into parts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers import cut, logical_weights, shard, splittable
from ctrkit.models import dcn_v2, wide_deep
from tests.layers.index import random_ids, small_index
from tests.models.custom import by_names

keras = tf.keras


def all_in(model: tf.keras.Model, parts: int) -> dict[int, int]:
    """Every weight that can be split into so many parts."""
    return {place: parts for place in splittable(model) if model.weights[place].shape[0] >= parts}


@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize("build", [wide_deep, dcn_v2, by_names])
def test_a_model_in_parts_gives_the_same_scores(build, parts: int) -> None:
    index = small_index()
    model = build(index)
    chosen = all_in(model, parts)
    assert chosen
    sharded = shard(model, chosen)
    sharded.set_weights(cut(model.get_weights(), chosen))
    again = keras.models.clone_model(sharded)  # As the converter to an Estimator does.
    again.set_weights(sharded.get_weights())
    ids = random_ids(index, 20)
    for training in (False, True):
        expected = model(ids, training=training).numpy()
        np.testing.assert_allclose(sharded(ids, training=training), expected, rtol=1e-6)
        np.testing.assert_allclose(again(ids, training=training), expected, rtol=1e-6)


def test_parts_are_found_back_by_their_whole_weights() -> None:
    model = wide_deep(small_index(), dim=2, hidden=(4, 3))
    sharded = shard(model, {0: 3, 4: 2, 5: 1})
    whole = logical_weights(sharded)
    assert [len(parts) for parts in whole] == [3, 1, 1, 1, 2, 1, 1, 1]
    assert [[part.ref() for part in parts] for parts in whole] == [
        [part.ref() for part in parts] for parts in logical_weights(sharded.weights, {0: 3, 4: 2})
    ]
    for parts, weight in zip(whole, model.weights, strict=True):
        assert sum(part.shape[0] for part in parts) == weight.shape[0]
        assert all(part.name.startswith(weight.name.removesuffix(":0")) for part in parts)
    assert [len(parts) for parts in logical_weights(model)] == [1] * 8
    with pytest.raises(ConfigError, match=r"11 weights do not fit parts={2: 2}"):
        logical_weights(sharded.weights, {2: 2})
    with pytest.raises(ConfigError, match=r"11 weights do not fit parts={20: 2}"):
        logical_weights(sharded.weights, {20: 2})


def test_initial_values_in_a_config_may_be_of_the_whole_table() -> None:
    ids = keras.Input((2,), dtype=tf.int32)
    known = np.arange(12.0).reshape(6, 2)
    vectors = keras.layers.Embedding(6, 2, embeddings_initializer=keras.initializers.Constant(known))(ids)
    model = keras.Model(ids, vectors)
    sharded = shard(model, {0: 4})
    sharded.set_weights(cut(model.get_weights(), {0: 4}))
    np.testing.assert_array_equal(sharded(np.array([[0, 5]])), [known[[0, 5]]])


def test_penalties_on_a_weight_add_up_over_its_parts() -> None:
    x = keras.Input((5,))
    model = keras.Model(x, keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2))(x))
    sharded = shard(model, {0: 2})
    sharded.set_weights(cut(model.get_weights(), {0: 2}))
    assert float(sum(sharded.losses)) == pytest.approx(float(sum(model.losses)), rel=1e-6)


def test_what_cannot_be_split_is_named() -> None:
    class Squared(keras.layers.Dense):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return tf.matmul(inputs, self.kernel**2)

    x = keras.Input((4,))
    inner = keras.Sequential([keras.layers.Dense(4, name="inside")], name="inner")
    steps = [
        inner,
        Squared(4, name="squared"),
        keras.layers.Dense(4, kernel_constraint=keras.constraints.UnitNorm(), name="bounded"),
        keras.layers.BatchNormalization(name="normal"),
        keras.layers.Dense(1, name="ctr"),
    ]
    y = x
    for step in steps:
        y = step(y)
    model = keras.Model(x, y)
    assert [model.weights[place].name for place in splittable(model)] == ["ctr/kernel:0"]
    for place in set(range(len(model.weights))) - splittable(model):
        with pytest.raises(ConfigError, match=rf"Weight {place} of model .*\({model.weights[place].name}\) cannot be"):
            shard(model, {place: 2})
    (place,) = splittable(model)
    with pytest.raises(ConfigError, match=r"has 4 rows, got parts=5: expected 1 to as many"):
        shard(model, {place: 5})
    with pytest.raises(ConfigError, match=r"has 4 rows, got parts=0"):
        shard(model, {place: 0})
    with pytest.raises(ConfigError, match=rf"has {len(model.weights)} weights, none at place 99"):
        shard(model, {99: 2})
