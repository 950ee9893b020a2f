"""What a search asks of whoever trains: a trial, its folder, and how many steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ctrkit.tracking import Run
from ctrkit.training import Observer, TrainingResult
from ctrkit.tuning.trial_file import Trial


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training that a search asks for."""

    trial: Trial
    run_dir: Path
    tracker: Run
    observer: Observer  # Tells the tracker, too.
    max_steps: int | None  # None: all that the trial's values ask for.


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How long the training of some values would be."""

    rows_per_step: int
    steps: int  # Of all its epochs.
    evaluate_every: int  # Steps.
    can_continue: bool  # Whether more steps may follow later: not where learning rates fall to 0 with the last one.

    def steps_of(self, share: float) -> int | None:
        """Steps that a share of the training has, up to an evaluation; None for the whole of it.

        Rounded so, what goes on from there evaluates where a training without a stop does.
        """
        if share >= 1:
            return None
        steps = max(math.ceil(self.steps * share), 1)
        if steps >= self.evaluate_every:
            steps = math.ceil(steps / self.evaluate_every) * self.evaluate_every
        return min(steps, self.steps)


Train: TypeAlias = Callable[[Task], TrainingResult]
Measure: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], Extent]  # Of values, and of `hp`'s values.
Explore: TypeAlias = Callable[[Any], object]  # Builds the model with an `hp`, so that it asks for what it needs.
Ended: TypeAlias = Callable[[Path, Run], None]  # Called when a trial's folder has all that came of it.
Tell: TypeAlias = Callable[[Trial], None]  # Called when a trial begins and when it ends.
