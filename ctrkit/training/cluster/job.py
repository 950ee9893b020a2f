"""What every task that computes is given: the model, its data, and how all of them train together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import tensorflow as tf

from ctrkit.records import Records
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.options import SYNC, ClusterOptions
from ctrkit.training.cluster.placement.plan import Plan as Placement
from ctrkit.training.cluster.placement.planned import planned
from ctrkit.training.cluster.share import Share
from ctrkit.training.cluster.task import Task
from ctrkit.training.early_stopping import EarlyStopping
from ctrkit.training.fit import TrainingData, stopping_of, training_records
from ctrkit.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """The same in all tasks of a cluster, but for `task`."""

    model: tf.keras.Model  # The user's; clones of it are trained.
    prepared: TrainingData
    run_dir: Path
    task: Task
    options: TrainingOptions = field(default_factory=TrainingOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    @cached_property
    def records(self) -> Records:
        """To train on. Raises as `training_records`."""
        return training_records(self.model, self.prepared)

    @property
    def fingerprint(self) -> str:
        """Of the feature index."""
        return self.prepared.fingerprint

    @property
    def is_synchronous(self) -> bool:
        return self.cluster.mode == SYNC

    def stopping(self) -> EarlyStopping:
        """What picks the best step, before any evaluation. Raises as `stopping_of`."""
        return stopping_of(self.options, self.prepared)

    def placement(self, share: Share) -> Placement:
        """Where the variables lie: the same in each task that asks."""
        return planned(
            self.model,
            self.prepared.index,
            batch_size=share.batch_size,
            options=self.options,
            ps=self.task.ps,
            strategy=self.cluster.placement,
        )

    def client(self) -> DispatchClient:
        """A connection of this task to the chief; opened by the first question."""
        return DispatchClient(self.run_dir, self.task.role, self.task.index, fingerprint=self.fingerprint)
