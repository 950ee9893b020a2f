"""One session of a training task: from the model to the end of the training, or to the loss of another task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import NanLossError
from ctrkit.records import Records
from ctrkit.training import nan_batch
from ctrkit.training.checkpoint import CHECKPOINTS
from ctrkit.training.cluster.asynchronous import PlannedParameterServerStrategy
from ctrkit.training.cluster.devices import PlannedDevices, placed
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.lost_tasks import lost_tasks_raise
from ctrkit.training.cluster.options import SYNC, ClusterOptions
from ctrkit.training.cluster.placement.plan import Plan as Placement
from ctrkit.training.cluster.placement.plan import check
from ctrkit.training.cluster.synchronous import Synchronous, SynchronousOptimizer
from ctrkit.training.cluster.task import Task
from ctrkit.training.cluster.worker_loop import WorkerLoop
from ctrkit.training.estimator import TrainingGraph, build_estimator, quiet_tensorflow, run_config
from ctrkit.training.fit import TrainingData
from ctrkit.training.keras_classes import keras_classes_kept
from ctrkit.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Share:
    """How the rows of a run are cut into tickets."""

    batch_size: int  # Rows of a ticket.
    tickets: int  # Of the whole run.
    steps: int  # Updates of the whole run.
    aggregated: int  # Tickets in an update.
    lease: int  # Tickets that a worker takes over at a time, at most.

    @classmethod
    def of(cls, records: Records, options: TrainingOptions, cluster: ClusterOptions, workers: int, steps: int) -> Share:
        """Cut a run of so many `steps` on one machine, for so many training tasks.

        Synchronously the gradients of an update are those of `options.batch_size` rows together, so that steps, epochs
        and learning rates mean the same as on one machine.
        """
        aggregated = cluster.aggregated(workers)
        rows = -(-options.batch_size // aggregated)
        tickets = min(records.steps_per_epoch(rows) * options.epochs, steps * aggregated)
        return cls(
            batch_size=rows,
            tickets=tickets,
            steps=-(-tickets // aggregated),
            aggregated=aggregated,
            lease=max(1, min(cluster.lease_rows // rows, tickets // (4 * workers))),
        )


class TrainingSession:
    """Builds the graph of a training task and runs it, as often as other tasks are lost.

    Args:
        model: the user's; a sharded clone is trained.
        prepared: index and records.
        run_dir: the run's folder.
        options: of the training.
        cluster: likewise.
        task: this process.
        placement: which variable goes where.
        share: how rows are cut.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        prepared: TrainingData,
        run_dir: Path,
        *,
        options: TrainingOptions,
        cluster: ClusterOptions,
        task: Task,
        placement: Placement,
        share: Share,
    ) -> None:
        assert prepared.train is not None
        self._model, self._prepared, self._run_dir = model, prepared, run_dir
        self._records: Records = prepared.train
        self._options, self._cluster, self._task = options, cluster, task
        self._placement, self._share = placement, share

    def run(self, loop: WorkerLoop, client: DispatchClient) -> None:
        """Train until the chief says stop.

        Raises an error of `TASK_LOST` when another task is gone, `StaleError` when the chief went back, `TrainingError`
        when the graph has another placement than planned.
        """
        share, options = self._share, self._options
        records, synchronous = self._records, self._cluster.mode == SYNC

        def batches() -> tf.data.Dataset:
            return records.leased(share.batch_size, client.leases, seed=options.seed, epochs=options.epochs)

        def wrapped(optimizer: Any) -> Any:
            return (
                SynchronousOptimizer(optimizer, share.aggregated, self._task.workers, self._task.worker)
                if synchronous
                else optimizer
            )

        starter = _SynchronousStart(is_chief=self._task.role == "chief")

        def use(graph: TrainingGraph) -> None:
            check(self._placement, placed(graph.loss.graph))
            loop.use(graph)
            starter.use()

        with records.explained(), quiet_tensorflow(), keras_classes_kept(), lost_tasks_raise():
            estimator = build_estimator(
                self._model,
                options,
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
        share, options, records = self._share, self._options, self._records
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:  # Not the Estimator's own graph.
            wanted = records.dataset(
                share.batch_size, shuffle=True, seed=options.seed, epochs=None, skip_batches=ticket
            ).take(1)
            batch = session.run(tf.compat.v1.data.make_one_shot_iterator(wanted).get_next())
        step = 1 + ticket // share.aggregated
        epoch = 1 + ticket // records.steps_per_epoch(share.batch_size)
        return NanLossError(nan_batch.describe(batch, scores, self._prepared.index, step=step, epoch=epoch, loss=loss))

    def _config(self) -> tf.estimator.RunConfig:
        planned = PlannedDevices(self._placement.variables)
        session = session_config()
        if self._cluster.mode != SYNC:
            strategy = PlannedParameterServerStrategy(planned)
            config = run_config(self._options, self._run_dir / CHECKPOINTS, session_config=session)
            return config.replace(train_distribute=strategy)
        task = self._task
        session.device_filters.extend(["/job:ps", task.device])
        device_fn = tf.compat.v1.train.replica_device_setter(
            ps_tasks=task.ps,
            worker_device=task.device,
            cluster=tf.train.ClusterSpec({role: list(hosts) for role, hosts in task.cluster.items()}),
            ps_strategy=planned,
        )
        return run_config(self._options, self._run_dir / CHECKPOINTS, session_config=session, device_fn=device_fn)


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
