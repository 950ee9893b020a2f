"""Train on a cluster: each task plays its role."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from ctrkit.training.cluster.chief import Chief
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.rendezvous import enter
from ctrkit.training.cluster.ending import End
from ctrkit.training.cluster.evaluator import judge
from ctrkit.training.cluster.judgement import Judgement
from ctrkit.training.cluster.options import ClusterOptions
from ctrkit.training.cluster.task import CHIEF, EVALUATOR, Task
from ctrkit.training.cluster.worker import work
from ctrkit.training.fit import TrainingData, TrainingResult, stopping_of
from ctrkit.training.loop import Observer
from ctrkit.training.options import TrainingOptions


def train_on_cluster(
    model: tf.keras.Model,
    prepared: TrainingData,
    run_dir: str | os.PathLike[str],
    *,
    task: Task,
    options: TrainingOptions | None = None,
    cluster: ClusterOptions | None = None,
    observer: Observer | None = None,
) -> TrainingResult | End:
    """Do what `task` does until the training is over: the chief, a worker or the evaluator.

    All tasks call this with the same arguments, but for `task`, on folders that they share; parameter servers call
    `hold_variables`. A task that was lost may simply be started again: the cluster goes back to its last checkpoint.

    Args:
        model: as for `train`; the chief's holds the best weights afterwards.
        prepared: index and records.
        run_dir: folder of the run.
        task: this process, as `Task.from_environment` tells.
        options: as for `train`; steps, epochs and learning rates mean the same as on one machine.
        cluster: how the tasks train together.
        observer: the chief's is told of losses and evaluations.
    Returns:
        The result on the chief; on the others how the chief ended the training.
    Raises:
        ConfigError: options that contradict those of the chief, or more backups than workers.
        TrainingError: a task that does not come up or stays away; a placement other than planned.
        As `train`.
    """
    options = TrainingOptions() if options is None else options
    cluster = ClusterOptions() if cluster is None else cluster
    run_dir = Path(run_dir).absolute()
    if task.role == CHIEF:
        chief = Chief(model, prepared, run_dir, options=options, cluster=cluster, task=task, observer=observer)
        return chief.train()
    if task.role == EVALUATOR:
        return _evaluate(model, prepared, run_dir, task, options, cluster)
    return work(model, prepared, run_dir, options=options, cluster=cluster, task=task)


def _evaluate(
    model: tf.keras.Model,
    prepared: TrainingData,
    run_dir: Path,
    task: Task,
    options: TrainingOptions,
    cluster: ClusterOptions,
) -> End:
    with DispatchClient(run_dir, task.role, task.index, fingerprint=prepared.fingerprint) as client:
        end = enter(client, run_dir, within=cluster.come_up_within).end
        if end is not None:
            return end
        with Heartbeats(client) as beats:
            judge(
                model,
                prepared.validation,
                run_dir,
                Judgement.read(run_dir, stopping_of(options, prepared)),
                fingerprint=prepared.fingerprint,
                batch_size=options.evaluation_batch_size,
                is_over=lambda: client.end is not None,
                tell=beats.say,
            )
        client.leave()
    assert client.end is not None
    return client.end
