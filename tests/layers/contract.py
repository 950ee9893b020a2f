"""The menu of tests that every layer passes; a layer's own test class supplies the layer, inputs and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.layers import FieldEmbeddings
from tests.layers.index import small_index

Arrays = Any  # An array or a list of arrays.


def nested(function: Any, arrays: Arrays) -> Any:
    return tf.nest.map_structure(function, arrays)


def moved(variable: tf.Variable, step: np.ndarray) -> Iterator[None]:
    """Yield with the variable moved ahead, then moved back; at the end it is where it was."""
    start = variable.numpy()
    for sign in (1, -1):
        variable.assign(start + sign * step)
        yield
    variable.assign(start)


def assert_near(found: Any, expected: Any) -> None:
    found, expected = tf.nest.flatten(nested(np.asarray, found)), tf.nest.flatten(nested(np.asarray, expected))
    assert [array.shape for array in found] == [array.shape for array in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


class LayerContract:
    """Value by another route, batch of one, dynamic batch, clone, save and the graph of an Estimator."""

    def layer(self) -> tf.keras.layers.Layer:
        raise NotImplementedError

    def inputs(self, user_batch: int, item_batch: int) -> Arrays:
        """Inputs of the layer; both batches are the same unless the layer is sided."""
        raise NotImplementedError

    def expected(self, layer: tf.keras.layers.Layer, inputs: Arrays) -> Arrays:
        """The outputs, in numpy and by another route than the layer's."""
        raise NotImplementedError

    # --- the menu -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("batch", [1, 5])
    def test_value_by_another_route(self, batch: int) -> None:
        layer, inputs = self.layer(), self.inputs(batch, batch)
        outputs = layer(nested(tf.constant, inputs))
        self._stir(layer)
        outputs = layer(nested(tf.constant, inputs))
        assert_near(outputs, self.expected(layer, inputs))

    def test_one_traced_function_takes_any_batch(self) -> None:
        layer, inputs = self.layer(), self.inputs(3, 3)
        layer(nested(tf.constant, inputs))
        self._stir(layer)
        signature = nested(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), inputs)
        traced = tf.function(lambda x: layer(x), input_signature=[signature])
        for batch in (1, 3, 0):
            part = nested(lambda array, batch=batch: array[:batch], inputs)
            assert_near(traced(nested(tf.constant, part)), layer(nested(tf.constant, part)))

    def test_clone_and_saved_model_give_the_same_numbers(self, tmp_path: Path) -> None:
        model, inputs = self._model()
        expected = model.predict_on_batch(inputs)
        clone = tf.keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        assert_near(clone.predict_on_batch(inputs), expected)
        model.save(tmp_path / "model.keras")
        assert_near(tf.keras.models.load_model(tmp_path / "model.keras").predict_on_batch(inputs), expected)

    def test_the_graph_of_an_estimator_gives_the_same_numbers(self) -> None:
        model, inputs = self._model()
        expected, weights, config = model.predict_on_batch(inputs), model.get_weights(), model.get_config()
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.keras.backend.set_session(session)
            again = tf.keras.Model.from_config(config)
            again.set_weights(weights)
            feed = dict(zip(again.inputs, tf.nest.flatten(inputs), strict=True))
            found = session.run(again.outputs, feed)
        assert_near(found, tf.nest.flatten(expected))
        tf.compat.v1.keras.backend.clear_session()

    def _model(self) -> tuple[tf.keras.Model, Arrays]:
        inputs = self.inputs(3, 3)
        symbolic = nested(lambda array: tf.keras.Input(array.shape[1:], dtype=array.dtype), inputs)
        layer = self.layer()
        model = tf.keras.Model(symbolic, layer(symbolic))
        self._stir(layer)
        return model, inputs

    @staticmethod
    def _stir(layer: tf.keras.layers.Layer) -> None:
        """Give every weight a value of its own: zeros and ones hide mistakes."""
        random = np.random.default_rng(7)
        layer.set_weights([random.normal(0, 0.4, weight.shape).astype("float32") for weight in layer.get_weights()])


class DifferentiableContract(LayerContract):
    """The menu for layers that give floats."""

    def test_gradients_of_weights_and_inputs_equal_finite_differences(self) -> None:
        layer, inputs = self.layer(), self.inputs(3, 3)
        tensors = nested(tf.constant, inputs)
        layer(tensors)
        self._stir(layer)
        tensors = nested(lambda x: tf.Variable(x) if x.dtype.is_floating else x, tensors)  # To be moved below.
        floats = [x for x in tf.nest.flatten(tensors) if x.dtype.is_floating]
        outputs = layer(tensors)
        random = np.random.default_rng(3)
        mixing = [random.normal(size=output.shape).astype("float32") for output in tf.nest.flatten(outputs)]

        def loss() -> tf.Tensor:
            pairs = zip(tf.nest.flatten(layer(tensors)), mixing, strict=True)
            return tf.add_n([tf.reduce_sum(output * weights) for output, weights in pairs])

        with tf.GradientTape() as tape:
            tape.watch(floats)
            value = loss()
        sources = [*layer.trainable_variables, *floats]
        for source, gradient in zip(sources, tape.gradient(value, sources), strict=True):
            assert gradient is not None
            direction = random.normal(size=source.shape).astype("float32")
            slope = float(tf.reduce_sum(tf.convert_to_tensor(gradient) * direction))
            above, below = (float(loss()) for _ in moved(source, 1e-2 * direction))
            assert slope == pytest.approx((above - below) / 2e-2, rel=2e-2, abs=2e-3)


class SidedContract(DifferentiableContract):
    """The menu for layers over `[user, item]`."""

    def test_a_user_batch_of_one_broadcasts_over_candidates(self) -> None:
        layer, (user, item) = self.layer(), self.inputs(1, 4)
        layer(nested(tf.constant, [user, item]))
        self._stir(layer)
        once = layer(nested(tf.constant, [user, item]))
        if isinstance(once, list):  # Sides stay apart: only their own batch counts.
            assert [side.shape[0] for side in once] == [1, 4]
            return
        repeated = layer([tf.constant(np.repeat(user, 4, axis=0)), tf.constant(item)])
        assert_near(once, repeated)


class VectorsContract(SidedContract):
    """The menu for layers over `[user, item]` vectors of `(batch, fields, dim)`."""

    user_fields, item_fields, dim = 2, 3, 4

    def inputs(self, user_batch: int, item_batch: int) -> Arrays:
        random = np.random.default_rng(1)
        return [
            random.normal(size=(batch, fields, self.dim)).astype("float32")
            for batch, fields in ((user_batch, self.user_fields), (item_batch, self.item_fields))
        ]

    @pytest.mark.parametrize("empty", ["user_fields", "item_fields"])
    def test_a_side_without_fields_adds_nothing(self, empty: str) -> None:
        setattr(self, empty, 0)  # pytest makes a new object per test.
        layer, inputs = self.layer(), self.inputs(3, 3)
        layer(nested(tf.constant, inputs))
        self._stir(layer)
        assert_near(layer(nested(tf.constant, inputs)), self.expected(layer, inputs))

    def test_embeddings_of_missing_values_are_taken(self) -> None:
        index = small_index()
        embeddings, layer = FieldEmbeddings(index, dim=self.dim), self.layer()
        ids = tf.zeros((2, index.width), tf.int32)  # All missing, the sequence empty.
        outputs = layer(embeddings([ids[:, : index.user_width], ids[:, index.user_width :]]))
        assert all(np.isfinite(output).all() for output in tf.nest.flatten(outputs))
