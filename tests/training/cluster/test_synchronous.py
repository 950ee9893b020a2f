"""Synchronous updates in one process: two gradients make the step that one machine makes of both batches."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.optimizers import SplitOptimizer, build_optimizer
from ctrkit.training.cluster.synchronous import Synchronous, SynchronousOptimizer

v1 = tf.compat.v1
KEPT: list[Any] = []
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

    def send(self, batch: tuple[list[int], list[float]]) -> tuple[bool, int]:
        """Train a batch: whether its gradient counted, and the global step after."""
        fetches = [self.synchronous.counted, self.synchronous.begun, self.step]
        counted, begun, _ = self.session.run(fetches, {self.rows: batch[0], self.labels: batch[1]})
        return bool(counted), int(begun)

    def global_step(self) -> int:
        return int(self.session.run(self.count))

    def values(self) -> list[np.ndarray]:
        return list(self.session.run(self.variables))


@pytest.fixture
def target() -> str:
    """A server in which the graphs of several workers share variables."""
    server = tf.distribute.Server.create_local_server()
    KEPT.append(server)  # It cannot be stopped, and its sessions end with it.
    return str(server.target)


@contextlib.contextmanager
def worker(
    inner: Any, aggregated: int, workers: int, target: str, number: int = 0, generation: int = 1, begins: bool = True
) -> Iterator[Worker]:
    """Worker `number`; number 0 is the chief and comes first. Unless it `begins`, it makes no updates yet."""
    with tf.Graph().as_default() as graph:
        step = v1.train.create_global_step()
        rows, labels = v1.placeholder(tf.int32, [None]), v1.placeholder(tf.float32, [None])
        table = v1.get_variable("table", initializer=TABLE, use_resource=True)
        kernel = v1.get_variable("kernel", initializer=KERNEL, use_resource=True)
        error = tf.squeeze(tf.gather(table, rows) @ kernel, 1) - labels
        gradients = tf.gradients(tf.reduce_mean(error**2), [table, kernel])
        assert isinstance(gradients[0], tf.IndexedSlices)
        optimizer = SynchronousOptimizer(inner, aggregated, workers, number, generation)
        optimizer.iterations = step  # As `model_to_estimator` does.
        with v1.variable_scope(f"worker_{number}"):
            train = optimizer.apply_gradients(zip(gradients, [table, kernel], strict=True))
        synchronous = Synchronous.of_graph()
        assert synchronous is not None
        with v1.Session(target, graph=graph) as session:
            if number == 0:
                session.run(v1.global_variables_initializer())
            session.run(v1.local_variables_initializer())
            with contextlib.nullcontext() if begins else mock.patch.object(threading, "Thread"):
                synchronous.start(session, is_chief=number == 0)
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
def test_two_gradients_make_the_step_of_both_batches_together(name: str, target: str) -> None:
    both = (FIRST[0] + SECOND[0], FIRST[1] + SECOND[1])
    expected = alone(OPTIMIZERS[name](), both)
    with (
        worker(OPTIMIZERS[name](), 2, 2, target) as one,
        worker(OPTIMIZERS[name](), 2, 2, target, 1) as two,
        ThreadPoolExecutor() as threads,
    ):
        first = threads.submit(one.send, FIRST)
        assert not eventually(lambda: two.global_step() > 0, 0.2)  # Nothing is done before the other's gradient.
        assert two.send(SECOND) == (True, 1)
        assert first.result() == (True, 1)
        for got, wanted in zip(one.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_one_worker_alone_trains_as_one_machine(target: str) -> None:
    batches = [FIRST, SECOND, FIRST]
    expected = alone(build_optimizer("adagrad", 0.1, "adam", 0.05), *batches)
    with worker(build_optimizer("adagrad", 0.1, "adam", 0.05), 1, 1, target) as one:
        assert [one.send(batch) for batch in batches] == [(True, 1), (True, 2), (True, 3)]
        for got, wanted in zip(one.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_gradient_that_comes_after_its_step_changes_nothing_and_is_told_so(target: str) -> None:
    with worker(legacy.SGD(0.1), 1, 2, target) as one, worker(legacy.SGD(0.1), 1, 2, target, 1) as late:
        assert one.send(FIRST) == (True, 1)
        before = one.values()
        assert late.send(SECOND) == (False, 1)
        assert not eventually(lambda: one.global_step() > 1, 0.2)
        for got, wanted in zip(one.values(), before, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert late.send(SECOND) == (True, 2)  # Begun at the step that is.


def test_an_update_that_begins_late_takes_the_mean_of_all_that_came(target: str) -> None:
    third = ([3, 3, 1], [1.0, 0.0, 0.0])
    expected = alone(legacy.SGD(0.1), (FIRST[0] + SECOND[0] + third[0], FIRST[1] + SECOND[1] + third[1]))
    with (
        worker(legacy.SGD(0.1), 2, 3, target, begins=False) as one,
        worker(legacy.SGD(0.1), 2, 3, target, 1) as two,
        worker(legacy.SGD(0.1), 2, 3, target, 2) as three,
        ThreadPoolExecutor() as threads,
    ):
        sent = [threads.submit(w.send, batch) for w, batch in ((one, FIRST), (two, SECOND), (three, third))]
        with one.session.graph.as_default():
            arrived = one.synchronous.marks.num_accumulated()
        assert eventually(lambda: one.session.run(arrived) == 3, 30)
        one.synchronous.start(one.session, is_chief=True)
        assert [future.result(30) for future in sent] == [(True, 1)] * 3
        for got, wanted in zip(one.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_as_many_gradients_count_as_updates_take_and_late_ones_do_not(target: str) -> None:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(legacy.SGD(0.01), 2, 3, target, number)) for number in range(3)]
        counted: list[tuple[bool, int]] = []

        def train(one: Worker, pause: float) -> None:
            while one.global_step() < 40:
                time.sleep(pause)
                counted.append(one.send(FIRST))

        with ThreadPoolExecutor() as threads:
            list(threads.map(train, workers, [0.0, 0.001, 0.05]))
        in_update = collections.Counter(step for was_counted, step in counted if was_counted)
        assert set(in_update) == set(range(1, workers[0].global_step() + 1))
        # Two; an update that began late, when all three were there, counts all three.
        assert set(in_update.values()) <= {2, 3}
        assert sum(in_update.values()) < len(counted)


def test_gradients_from_before_a_return_to_a_checkpoint_count_in_no_update_after_it(target: str) -> None:
    expected = alone(legacy.SGD(0.1), (FIRST[0] + SECOND[0], FIRST[1] + SECOND[1]))
    with (
        worker(legacy.SGD(0.1), 2, 2, target),  # A step behind: its gradient has not come yet.
        worker(legacy.SGD(0.1), 2, 2, target, 1) as before,
        ThreadPoolExecutor() as threads,
    ):
        sent = threads.submit(before.send, ([3, 3], [100.0, 100.0]))
        assert not eventually(sent.done, 1.0)
        before.session.close()  # The parameter server keeps what it has got.
        with pytest.raises((tf.errors.OpError, RuntimeError)):
            sent.result(30)
    with (
        worker(legacy.SGD(0.1), 2, 2, target, generation=2) as one,
        worker(legacy.SGD(0.1), 2, 2, target, 1, generation=2) as two,
        ThreadPoolExecutor() as threads,
    ):
        first = threads.submit(one.send, FIRST)
        assert not eventually(lambda: two.global_step() > 0, 0.2)
        assert two.send(SECOND) == (True, 1)
        assert first.result() == (True, 1)
        for got, wanted in zip(one.values(), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_graph_without_it_is_not_synchronous() -> None:
    with tf.Graph().as_default():
        assert Synchronous.of_graph() is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_configuration_rebuilds_the_optimizer_within(name: str) -> None:
    optimizer = SynchronousOptimizer(OPTIMIZERS[name](), 2, 3, 1, 4)
    again = SynchronousOptimizer.from_config(optimizer.get_config())
    assert type(again.inner) is type(optimizer.inner)
    assert (again.aggregated, again.workers, again.worker, again.generation) == (2, 3, 1, 4)
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
