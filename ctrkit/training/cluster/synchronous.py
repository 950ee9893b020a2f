"""Synchronous training: an update takes the mean of the first gradients that come; later ones are dropped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias
from unittest import mock

import tensorflow as tf
from tensorflow.python.ops import data_flow_ops

from ctrkit.reasons import reason_of

_COLLECTION = "ctrkit/synchronous"
_OWN = ("aggregated", "workers", "worker", "generation")  # Of the optimizer's configuration, beside that of `inner`.
_SENDING = ("AccumulatorApplyGradient", "SparseAccumulatorApplyGradient", "ResourceAccumulatorApplyGradient")
_log = logging.getLogger(__name__)
Legacy: TypeAlias = tf.keras.optimizers.legacy.Optimizer
GradientsAndVariables: TypeAlias = Sequence[tuple[Any, tf.Variable]]


@tf.keras.utils.register_keras_serializable("ctrkit")
class SynchronousOptimizer(Legacy):
    """Another Keras optimizer behind `tf.compat.v1.train.SyncReplicasOptimizer`, for graphs of an Estimator.

    The chief's update is that of `inner`, given the mean of the gradients that came: of `aggregated` workers, or of
    more where the update began late. The state is that of `inner` as well. What belongs to the current graph is found
    by `Synchronous.of_graph()`.

    Args:
        inner: a legacy Keras optimizer.
        aggregated: gradients in an update.
        workers: that send gradients; those beyond `aggregated` are backups.
        worker: which of them this one is.
        generation: that of the dispatch. What parameter servers keep between steps goes by it, so that gradients sent
            before a return to a checkpoint count in no update after it, whenever they arrive.
    """

    _HAS_AGGREGATE_GRAD = True

    def __init__(
        self,
        inner: Legacy,
        aggregated: int,
        workers: int,
        worker: int = 0,
        generation: int = 0,
        name: str = "SynchronousOptimizer",
    ) -> None:
        super().__init__(name)
        self.inner, self.aggregated, self.workers = inner, aggregated, workers
        self.worker, self.generation = worker, generation
        self._track_trackable(inner, "inner")

    @property
    def iterations(self) -> tf.Variable:
        return self.inner.iterations

    @iterations.setter
    def iterations(self, variable: tf.Variable) -> None:
        self.inner.iterations = variable

    @property
    def weights(self) -> list[tf.Variable]:
        return list(self.inner.weights)

    def variables(self) -> list[tf.Variable]:
        return self.weights

    def get_slot_names(self) -> list[str]:
        return list(self.inner.get_slot_names())

    def get_slot(self, var: tf.Variable, slot_name: str) -> tf.Variable:
        return self.inner.get_slot(var, slot_name)

    def apply_gradients(self, grads_and_vars: GradientsAndVariables, name: str | None = None, **_: Any) -> tf.Operation:
        """Send this worker's gradients; returns the operation that ends its step."""
        step = tf.compat.v1.train.get_global_step()
        pairs = [(gradient, variable) for gradient, variable in grads_and_vars if gradient is not None]
        with tf.control_dependencies([_tensor(gradient) for gradient, _ in pairs]):
            pairs = [(_counting(gradient), variable) for gradient, variable in pairs]
        replicas = _SyncReplicas(_Version1(self.inner), self.aggregated, total_num_replicas=self.workers)
        replicas.leave_out_tokens()
        with _means(self.generation):
            replicas.apply_gradients(pairs, global_step=step)
        synchronous = Synchronous(
            replicas,
            step,
            worker=self.worker,
            workers=self.workers,
            aggregated=self.aggregated,
            generation=self.generation,
        )
        tf.compat.v1.add_to_collection(_COLLECTION, synchronous)
        return synchronous.ended

    def get_config(self) -> dict[str, Any]:
        inner = {"class_name": tf.keras.utils.get_registered_name(type(self.inner)), "config": self.inner.get_config()}
        return {**super().get_config(), "inner": inner, **{name: getattr(self, name) for name in _OWN}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> SynchronousOptimizer:
        inner = config["inner"]
        known = tf.keras.utils.get_registered_object(inner["class_name"], custom_objects)
        kind = known if known is not None else getattr(tf.keras.optimizers.legacy, inner["class_name"])
        own = {key: config[key] for key in (*_OWN, "name")}
        return cls(kind.from_config(inner["config"]), **own)


class Synchronous:
    """The synchronous step in a graph, and what hooks need of it.

    `SyncReplicasOptimizer` tells workers of the end of a step by tokens in one queue, and nobody whether a gradient
    counted. Tokens that a slow worker leaves would send the others into steps that are over. So each worker has a queue
    of its own here, which gets (step, whether the worker's gradient was in the update) after each update; and a worker
    marks, after all of its gradients, an accumulator that is taken beside those of the gradients.
    """

    def __init__(
        self, replicas: _SyncReplicas, step: tf.Variable, *, worker: int, workers: int, aggregated: int, generation: int
    ) -> None:
        v1 = tf.compat.v1
        self._replicas = replicas
        self.local_step: tf.Variable = replicas.local_step  # The step that the next gradients will belong to.
        sent = [op for op in v1.get_default_graph().get_operations() if op.type in _SENDING]
        (update,) = replicas.get_chief_queue_runner().enqueue_ops
        with tf.device(step.device):
            marks = v1.ConditionalAccumulator(
                tf.float32, shape=[workers], shared_name=_shared("marks", generation), reduction_type="SUM"
            )
            answers = [
                v1.FIFOQueue(
                    -1, [tf.int64, tf.bool], shapes=[(), ()], shared_name=_shared(f"answers/{number}", generation)
                )
                for number in range(workers)
            ]
            with tf.control_dependencies(sent):
                marked = marks.apply_grad(tf.one_hot(worker, workers), local_step=self.local_step)
            counted = marks.take_grad(aggregated) > 0.5  # Beside the gradients: after the update more would be in.
            self.marks = marks
            with tf.control_dependencies([update, counted]):
                now = tf.identity(step.read_value())
                told = [queue.enqueue([now, counted[number]]) for number, queue in enumerate(answers)]
            self._update = tf.group(*told)
            self._start_as_chief = tf.group(replicas.chief_init_op, marks.set_global_step(step))
        self._start = replicas.local_step_init_op
        with tf.control_dependencies([marked]):
            mine = tf.identity(self.local_step.read_value())

        def listen(_: tf.Tensor, __: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            at, was_counted = answers[worker].dequeue()
            return at, tf.logical_and(was_counted, tf.equal(at, mine + 1))

        at, self.counted = tf.while_loop(  # bool scalar: whether this worker's gradient was in the update of its step.
            lambda at, _: at <= mine, listen, [mine, tf.constant(False)], parallel_iterations=1
        )
        with tf.control_dependencies([at]):
            self.begun = tf.identity(step.read_value())  # int64 scalar: the step that `local_step` is set to.
        with tf.control_dependencies([self.begun]):
            self.ended = tf.group(self.local_step.assign(self.begun))

    @staticmethod
    def of_graph() -> Synchronous | None:
        """That of the current graph; None where training is not synchronous."""
        found = tf.compat.v1.get_collection(_COLLECTION)
        return found[-1] if found else None

    def start(self, session: tf.compat.v1.Session, *, is_chief: bool) -> None:
        """Begin in a new session; on the chief a thread then aggregates and updates for as long as the session lasts.

        TensorFlow's own hook would keep a chief for two minutes at the end, waiting for that thread, which waits for
        gradients that never come.
        """
        session.run(self._start_as_chief if is_chief else self._start)
        if is_chief:
            run = session.make_callable(self._update)
            threading.Thread(target=_repeat, args=(run, session), name="ctrkit-updates", daemon=True).start()


def _repeat(update: Callable[[], Any], session: tf.compat.v1.Session) -> None:
    try:
        while True:
            update()
    except tf.errors.CancelledError:
        pass  # The session was closed.
    except (tf.errors.OpError, RuntimeError) as error:
        _log.warning("Updates ended: %s", reason_of(error))
        session.close()  # Wakes the training thread up, which waits for the next update.


class _SyncReplicas(tf.compat.v1.train.SyncReplicasOptimizer):
    @property
    def local_step(self) -> tf.Variable:
        return self._local_step

    def leave_out_tokens(self) -> None:
        """Give nobody a token: there are answers instead."""
        self._tokens_per_step = 0


class _Version1(tf.compat.v1.train.Optimizer):
    """A Keras optimizer as `SyncReplicasOptimizer` wants it; Keras counts the global step itself."""

    def __init__(self, optimizer: Legacy) -> None:
        super().__init__(use_locking=False, name="Keras")
        self._optimizer = optimizer

    def apply_gradients(self, grads_and_vars: Any, global_step: Any = None, name: Any = None) -> tf.Operation:
        return self._optimizer.apply_gradients(list(grads_and_vars))


@contextmanager
def _means(generation: int) -> Iterator[None]:
    """Let accumulators give the mean over the gradients they hold, and share them in one `generation` alone.

    TensorFlow's mean of sparse ones divides each row by the number of workers that touched it, so that rare values
    would learn faster than on one machine; so these are added up and divided by the count that `_counting` sends.
    """
    dense, sparse = data_flow_ops.ConditionalAccumulator, data_flow_ops.SparseConditionalAccumulator
    with ExitStack() as stack:
        for kind, reduction in ((dense, "MEAN"), (sparse, "SUM")):
            init = _made_for(kind.__init__, generation, reduction)
            stack.enter_context(mock.patch.object(kind, "__init__", init))
        take = _divided(sparse.take_indexed_slices_grad)
        stack.enter_context(mock.patch.object(sparse, "take_indexed_slices_grad", take))
        yield


def _made_for(make: Callable[..., None], generation: int, reduction: str) -> Callable[..., None]:
    def made(accumulator: Any, *args: Any, shared_name: str, **more: Any) -> None:
        make(accumulator, *args, shared_name=_shared(shared_name, generation), reduction_type=reduction, **more)

    return made


def _counting(gradient: Any) -> Any:
    """A sparse gradient with one row more, of ones, beyond the variable's own: summed up, it tells how many came."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices = tf.cast(gradient.indices, tf.int64)  # The accumulator knows no other.
    shape = tf.cast(gradient.dense_shape, tf.int64)
    ones = tf.ones(tf.concat([[1], tf.shape(gradient.values)[1:]], axis=0), gradient.values.dtype)
    return tf.IndexedSlices(
        tf.concat([gradient.values, ones], axis=0),
        tf.concat([indices, shape[:1]], axis=0),
        tf.concat([shape[:1] + 1, shape[1:]], axis=0),
    )


def _divided(take: Callable[..., tf.IndexedSlices]) -> Callable[..., tf.IndexedSlices]:
    def mean(accumulator: Any, num_required: int, name: str | None = None) -> tf.IndexedSlices:
        total = take(accumulator, num_required, name)
        count = tf.reshape(total.values[-1], [-1])[0]  # Gradients are merged by index: the highest stays last.
        shape = tf.concat([total.dense_shape[:1] - 1, total.dense_shape[1:]], axis=0)
        return tf.IndexedSlices(total.values[:-1] / count, total.indices[:-1], shape)

    return mean


def _shared(name: str, generation: int) -> str:
    return f"{_COLLECTION}/{generation}/{name}"


def _tensor(gradient: Any) -> tf.Tensor:
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
