"""Trials as nested runs of the search's own tracked run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ctrkit.tracking import Run
from ctrkit.tuning.trial_file import Trial

PARENT = "CTRKIT_TUNING_PARENT_RUN"  # In the environment of a search's workers: id of its tracked run.
PARENT_TAG = "mlflow.parentRunId"  # What MLflow's pages nest by.

OpenRun: TypeAlias = Callable[[Path, Mapping[str, Any]], Run]  # Folder of a run, and tags -> its tracked run.


class NestedRuns:
    """A mixin of tuners: `run_trial` of the class behind it happens within a tracked run of the trial's own.

    A trial that goes on after a kill goes on with its run, by the link that the run's folder holds.
    """

    open_run: OpenRun
    tracker: Run  # Of the trial at hand.
    trial_of: Callable[[Any], Trial]  # What is written of keras-tuner's trial.

    def run_trial(self, trial: Any, *arguments: Any, **named: Any) -> Any:
        """Open the nested run, and have the trial run."""
        known = self.trial_of(trial)
        if known.is_over:  # Killed after its end was noted, and before keras-tuner heard of it.
            return super().run_trial(trial, *arguments, **named)  # type: ignore[misc]
        folder: Path = self.files.run_dir(known.id)  # type: ignore[attr-defined]
        folder.mkdir(parents=True, exist_ok=True)
        self.tracker = self.open_run(folder, tags_of(known))
        try:
            result = super().run_trial(trial, *arguments, **named)  # type: ignore[misc]
        except BaseException as error:
            # What keras-tuner is told wraps what happened.
            happened = error.__cause__ if type(error).__module__.startswith("keras_tuner") else error
            happened = error if happened is None else happened
            self.tracker.__exit__(type(happened), happened, happened.__traceback__)
            raise
        self.tracker.finish()
        return result


def tags_of(trial: Trial) -> dict[str, Any]:
    """Tags of a trial's run."""
    return {
        PARENT_TAG: os.environ.get(PARENT) or None,
        "ctrkit.trial": trial.id,
        "ctrkit.trial_continues": trial.continues,
    }
