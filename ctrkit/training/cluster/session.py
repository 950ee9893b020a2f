"""One session of a training task: from the model to the end of the training, or to the loss of another task."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import NanLossError
from ctrkit.training import nan_batch
from ctrkit.training.checkpoint import CHECKPOINTS
from ctrkit.training.cluster.asynchronous import PlannedParameterServerStrategy
from ctrkit.training.cluster.devices import PlannedDevices, placed
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.lost_tasks import lost_tasks_raise
from ctrkit.training.cluster.placement.plan import Plan as Placement
from ctrkit.training.cluster.placement.plan import check
from ctrkit.training.cluster.share import Share
from ctrkit.training.cluster.synchronous import Synchronous, SynchronousOptimizer
from ctrkit.training.cluster.task import CHIEF, Task
from ctrkit.training.cluster.worker_loop import WorkerLoop
from ctrkit.training.estimator import TrainingGraph, build_estimator, quiet_tensorflow, run_config
from ctrkit.training.keras_classes import keras_classes_kept


class TrainingSession:
    """Builds the graph of a training task and runs it, as often as other tasks are lost.

    Args:
        job: of this task.
        placement: which variable goes where.
        share: how rows are cut.
    """

    def __init__(self, job: Job, *, placement: Placement, share: Share) -> None:
        self._job, self._placement, self._share = job, placement, share

    def run(self, loop: WorkerLoop, client: DispatchClient) -> None:
        """Train until the chief says stop.

        Raises an error of `TASK_LOST` when another task is gone, `StaleError` when the chief went back, `TrainingError`
        when the graph has another placement than planned.
        """
        job, share, records = self._job, self._share, self._job.records

        @tf.autograph.experimental.do_not_convert
        def batches() -> tf.data.Dataset:
            return records.leased(share.batch_size, client.leases, seed=job.options.seed, epochs=job.options.epochs)

        def wrapped(optimizer: Any) -> Any:
            if not job.is_synchronous:
                return optimizer
            task = job.task
            return SynchronousOptimizer(optimizer, share.aggregated, task.workers, task.worker, client.generation)

        starter = _SynchronousStart(is_chief=job.task.role == CHIEF)

        def use(graph: TrainingGraph) -> None:
            check(self._placement, placed(graph.loss.graph))
            loop.use(graph)
            starter.use()

        with records.explained(), quiet_tensorflow(), keras_classes_kept(), lost_tasks_raise():
            estimator = build_estimator(
                job.model,
                job.options,
                self._config(),
                steps=share.steps,
                on_graph=use,
                parts=self._placement.parts,
                sharded_files=True,
                wrapped=wrapped,
            )
            try:
                estimator.train(batches, hooks=[starter, loop])
            finally:
                client.abandon_leases()

    def explain_nan(self, ticket: int, loss: float, scores: np.ndarray) -> Exception:
        """The error for a ticket whose loss is not a number."""
        job, share, records = self._job, self._share, self._job.records
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:  # Not the Estimator's own graph.
            wanted = records.dataset(
                share.batch_size, shuffle=True, seed=job.options.seed, epochs=None, skip_batches=ticket
            ).take(1)
            batch = session.run(tf.compat.v1.data.make_one_shot_iterator(wanted).get_next())
        step = 1 + ticket // share.aggregated
        epoch = 1 + ticket // records.steps_per_epoch(share.batch_size)
        return NanLossError(nan_batch.describe(batch, scores, job.prepared.index, step=step, epoch=epoch, loss=loss))

    def _config(self) -> tf.estimator.RunConfig:
        job, task = self._job, self._job.task
        planned = PlannedDevices(self._placement.variables)
        session, folder = session_config(), job.run_dir / CHECKPOINTS
        if not job.is_synchronous:
            strategy = PlannedParameterServerStrategy(planned)
            return run_config(job.options, folder, session_config=session).replace(train_distribute=strategy)
        session.device_filters.extend(["/job:ps", task.device])
        device_fn = tf.compat.v1.train.replica_device_setter(
            ps_tasks=task.ps,
            worker_device=task.device,
            cluster=tf.train.ClusterSpec({role: list(hosts) for role, hosts in task.cluster.items()}),
            ps_strategy=planned,
        )
        return run_config(job.options, folder, session_config=session, device_fn=device_fn)


class _SynchronousStart(tf.compat.v1.train.SessionRunHook):
    """Starts synchronous training in each session; nothing where training is not."""

    def __init__(self, *, is_chief: bool) -> None:
        self._is_chief = is_chief
        self._synchronous: Synchronous | None = None

    def use(self) -> None:
        self._synchronous = Synchronous.of_graph()

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        if self._synchronous is not None:
            self._synchronous.start(session, is_chief=self._is_chief)


def session_config() -> tf.compat.v1.ConfigProto:
    """What a task's server and session begin with; `TF_NUM_INTRAOP_THREADS` and the like are respected."""
    return tf.compat.v1.ConfigProto(allow_soft_placement=True)


def start_server(task: Task) -> tf.distribute.Server:
    """Listen for the other tasks' graphs on this task's address."""
    cluster = tf.train.ClusterSpec({role: list(hosts) for role, hosts in task.cluster.items()})
    return tf.distribute.Server(
        cluster, job_name=task.role, task_index=task.index, protocol="grpc", config=session_config()
    )
