"""Synchronous updates in one process: two gradients make the step that one machine makes of both batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.optimizers import SplitOptimizer, build_optimizer
from ctrkit.training.cluster.synchronous import Synchronous, SynchronousOptimizer

v1 = tf.compat.v1
legacy = tf.keras.optimizers.legacy
TABLE = np.arange(10, dtype="float32").reshape(5, 2) / 10
KERNEL = np.array([[1.0], [-2.0]], "float32")
FIRST, SECOND = ([0, 1, 1], [1.0, 0.0, 1.0]), ([1, 4, 4], [0.0, 0.0, 1.0])  # Rows of the table, and labels.


@dataclass
class Worker:
    """A graph of one worker, and its session, of which the chief's thread makes the updates."""

    session: Any
    rows: tf.Tensor
    labels: tf.Tensor
    step: tf.Operation
    count: tf.Variable  # The global step.
    variables: list[tf.Variable]
    synchronous: Synchronous

    def send(self, batch: tuple[list[int], list[float]]) -> tuple[int, int]:
        """Train a batch: the global step when its gradient was ready, and the one after."""
        fetches = [self.synchronous.sent_at, self.synchronous.begun, self.step]
        sent_at, begun, _ = self.session.run(fetches, {self.rows: batch[0], self.labels: batch[1]})
        return int(sent_at), int(begun)

    def global_step(self) -> int:
        return int(self.session.run(self.count))

    def values(self) -> list[np.ndarray]:
        return list(self.session.run(self.variables))


@contextlib.contextmanager
def worker(inner: Any, aggregated: int, workers: int) -> Iterator[Worker]:
    with tf.Graph().as_default() as graph:
        step = v1.train.create_global_step()
        rows, labels = v1.placeholder(tf.int32, [None]), v1.placeholder(tf.float32, [None])
        table = v1.get_variable("table", initializer=TABLE, use_resource=True)
        kernel = v1.get_variable("kernel", initializer=KERNEL, use_resource=True)
        error = tf.squeeze(tf.gather(table, rows) @ kernel, 1) - labels
        gradients = tf.gradients(tf.reduce_mean(error**2), [table, kernel])
        assert isinstance(gradients[0], tf.IndexedSlices)
        optimizer = SynchronousOptimizer(inner, aggregated, workers)
        optimizer.iterations = step  # As `model_to_estimator` does.
        train = optimizer.apply_gradients(zip(gradients, [table, kernel], strict=True))
        synchronous = Synchronous.of_graph()
        assert synchronous is not None
        tokens = synchronous.tokens(workers - 1)
        with v1.Session(graph=graph) as session:
            session.run(v1.global_variables_initializer())
            session.run(v1.local_variables_initializer())
            synchronous.start(session, is_chief=True)
            session.run(tokens)  # Those of the workers that are not there: this one plays them all.
            yield Worker(session, rows, labels, train, step, [table, kernel], synchronous)


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def alone(inner: Any, *batches: tuple[list[int], list[float]]) -> list[np.ndarray]:
    """What one machine makes of these batches, one step each."""
    table, kernel = tf.Variable(TABLE, name="table"), tf.Variable(KERNEL, name="kernel")
    for rows, labels in batches:
        with tf.GradientTape() as tape:
            error = tf.squeeze(tf.gather(table, rows) @ kernel, 1) - labels
            loss = tf.reduce_mean(error**2)
        gradients = tape.gradient(loss, [table, kernel])
        inner.apply_gradients(zip(gradients, [table, kernel], strict=True))
    return [table.numpy(), kernel.numpy()]


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: legacy.SGD(0.1),
    "adam": lambda: legacy.Adam(0.1),
    "split": lambda: build_optimizer("adagrad", 0.1, "adam", 0.05),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_gradients_make_the_step_of_both_batches_together(name: str) -> None:
    both = (FIRST[0] + SECOND[0], FIRST[1] + SECOND[1])
    expected = alone(OPTIMIZERS[name](), both)
    with worker(OPTIMIZERS[name](), aggregated=2, workers=2) as one:
        for got, start in zip(one.values(), [TABLE, KERNEL], strict=True):
            np.testing.assert_array_equal(got, start)
        assert one.send(FIRST) == (0, 0)  # Nothing is done before the other's gradient.
        assert one.send(SECOND) == (0, 1)
        for got, wanted in zip(one.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_one_worker_alone_trains_as_one_machine() -> None:
    batches = [FIRST, SECOND, FIRST]
    expected = alone(build_optimizer("adagrad", 0.1, "adam", 0.05), *batches)
    with worker(build_optimizer("adagrad", 0.1, "adam", 0.05), aggregated=1, workers=1) as one:
        assert [one.send(batch) for batch in batches] == [(0, 1), (1, 2), (2, 3)]
        for got, wanted in zip(one.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_gradient_that_comes_after_its_step_changes_nothing() -> None:
    with worker(legacy.SGD(0.1), aggregated=1, workers=2) as one:
        one.send(FIRST)
        assert eventually(lambda: one.global_step() == 1)
        one.session.run(one.synchronous.local_step.initializer)  # A worker that began before that step.
        before = one.values()
        assert one.send(SECOND) == (1, 1)  # Sent at step 1, but begun at 0: so its loop knows that it was dropped.
        assert not eventually(lambda: one.global_step() > 1, 0.2)
        for got, wanted in zip(one.values(), before, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_graph_without_it_is_not_synchronous() -> None:
    with tf.Graph().as_default():
        assert Synchronous.of_graph() is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_configuration_rebuilds_the_optimizer_within(name: str) -> None:
    optimizer = SynchronousOptimizer(OPTIMIZERS[name](), 2, 3)
    again = SynchronousOptimizer.from_config(optimizer.get_config())
    assert type(again.inner) is type(optimizer.inner)
    assert (again.aggregated, again.workers) == (2, 3)
    assert again.get_config() == optimizer.get_config()


def test_keras_finds_it_by_its_registered_name() -> None:
    optimizer = SynchronousOptimizer(SplitOptimizer(tables=legacy.SGD(0.5), dense=legacy.SGD(0.25)), 2, 3)
    kept = tf.keras.utils.get_registered_name(SynchronousOptimizer)
    kind = tf.keras.utils.get_registered_object(kept)
    again = kind.from_config(optimizer.get_config())
    assert isinstance(again.inner, SplitOptimizer)
    assert again.get_config() == optimizer.get_config()


def test_slots_are_those_of_the_optimizer_within() -> None:
    inner = legacy.Adam(0.1)
    optimizer = SynchronousOptimizer(inner, 1, 1)
    variable = tf.Variable([1.0], name="kernel")
    inner.apply_gradients([(tf.constant([1.0]), variable)])
    assert optimizer.get_slot_names() == ["m", "v"]
    assert optimizer.get_slot(variable, "m") is inner.get_slot(variable, "m")
    assert [one.name for one in optimizer.weights] == [one.name for one in inner.weights]
    assert optimizer.iterations is inner.iterations
