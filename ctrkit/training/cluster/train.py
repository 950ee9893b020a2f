"""Train on a cluster: each task plays its role."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from ctrkit.training.cluster.chief import Chief
from ctrkit.training.cluster.ending import End
from ctrkit.training.cluster.evaluator import evaluate_run
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.options import ClusterOptions
from ctrkit.training.cluster.task import CHIEF, EVALUATOR, Task
from ctrkit.training.cluster.worker import work
from ctrkit.training.fit import TrainingData, TrainingResult
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
    job = Job(
        model=model,
        prepared=prepared,
        run_dir=Path(run_dir).absolute(),
        task=task,
        options=TrainingOptions() if options is None else options,
        cluster=ClusterOptions() if cluster is None else cluster,
    )
    if task.role == CHIEF:
        return Chief(job, observer).train()
    return evaluate_run(job) if task.role == EVALUATOR else work(job)
