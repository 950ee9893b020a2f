"""What a training run is asked to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.training.early_stopping import METRICS

# What a run cannot change half-way without becoming another run; the rest (epochs, patience, …) may.
FIXED = (
    "batch_size",
    "seed",
    "table_optimizer",
    "table_learning_rate",
    "table_options",
    "dense_optimizer",
    "dense_learning_rate",
    "dense_options",
    "learning_rate_decay",
)
DECAYS = ("linear", "cosine")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of `train`. A model that was compiled keeps its own optimizer and loss; the four below then do nothing.

    Raises `ConfigError` on a value that cannot be.
    """

    batch_size: int = 4096  # Rows a step.
    epochs: int = 1  # Passes over the training part.
    max_steps: int | None = None  # Stop after so many steps, if the epochs have not ended before.
    evaluate_every: int | None = None  # Steps; None: four times an epoch. The last step is always evaluated.
    evaluation_batch_size: int = 8192  # Rows.
    early_stopping: str | None = "auc"  # Metric of the validation part that picks the best step; None: the last step.
    patience: int | None = 3  # Evaluations without a better one before the run stops; None: never stops early.
    checkpoint_every: int | None = None  # Steps; None: at each evaluation.
    keep_checkpoints: int = 2  # At least two, so that a damaged one has another behind it; the best is kept apart.
    log_every: int = 100  # Steps between two reports of the loss.
    seed: int = 0  # Of the order of rows, and of what layers draw at each step.
    warm_start: str | None = None  # Folder of a run whose best weights to start from; this index may extend its own.
    warm_start_slots: bool = True  # Take over what the optimizer keeps of each row, and its count of updates, too.
    table_optimizer: str = "adagrad"  # See `ctrkit.optimizers.build_optimizer`.
    table_learning_rate: float = 0.05
    table_options: Mapping[str, Any] = field(default_factory=dict)
    dense_optimizer: str = "adam"
    dense_learning_rate: float = 0.001
    dense_options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate_decay: str | None = None  # linear or cosine: to 0 over the run's steps; None: constant.

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "evaluation_batch_size", "log_every", "keep_checkpoints"):
            self._expect_count(name, 2 if name == "keep_checkpoints" else 1)
        for name in ("max_steps", "evaluate_every", "patience", "checkpoint_every"):
            if getattr(self, name) is not None:
                self._expect_count(name, 1)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise ConfigError(f"training.seed is {self.seed!r}, expected a whole number from 0 to {2**31 - 1}.")
        if self.early_stopping is not None and self.early_stopping not in METRICS:
            raise ConfigError(
                f"training.early_stopping is {self.early_stopping!r}, expected a metric or null."
                f"{did_you_mean(self.early_stopping, METRICS)}"
            )
        if self.learning_rate_decay is not None and self.learning_rate_decay not in DECAYS:
            raise ConfigError(
                f"training.learning_rate_decay is {self.learning_rate_decay!r}, expected one of {list(DECAYS)} or null."
                f"{did_you_mean(str(self.learning_rate_decay), DECAYS)}"
            )
        if self.learning_rate_decay is not None and "ftrl" in (self.table_optimizer, self.dense_optimizer):
            raise ConfigError(
                "training.learning_rate_decay does not go with ftrl, whose weights all shrink to 0 with the rate. "
                "Type training.learning_rate_decay=null, or training.table_optimizer=adagrad."
            )
        if self.warm_start is not None:
            object.__setattr__(self, "warm_start", os.fspath(self.warm_start))
        for name in ("table_options", "dense_options"):
            object.__setattr__(self, name, dict(getattr(self, name) or {}))

    def _expect_count(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"training.{name} is {value!r}, expected a whole number of at least {least}.")

    def to_dict(self) -> dict[str, Any]:
        """The options as plain values, for JSON."""
        return asdict(self)
