"""Searches without training: a score is computed from the values, and a kill is an exception between two writes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrkit.tuning import Space, Trial, TrialFiles, TuningOptions
from ctrkit.tuning.trial_file import COMPLETED, FAILED

SPEC = {
    "model.dim": {"choice": [4, 8, 16]},
    "model.hidden": {"choice": [[8], [16, 8]]},
    "training.table_learning_rate": {"float": [0.001, 0.1], "log": True},
}


class Killed(BaseException):
    """The process is gone at this point."""


def score(values: dict[str, Any], share: float = 1.0) -> float:
    """Best at dim 16 and a rate of 0.02; more rows are a little better."""
    rate = abs(math.log(values.get("training.table_learning_rate", 0.02) / 0.02))
    return 0.7 + 0.01 * values.get("model.dim", 4) / 16 - 0.01 * rate + 0.01 * share


def search(
    folder: Path,
    options: TuningOptions,
    *,
    space: Space | None = None,
    first: dict[str, Any] | None = None,
    step: Callable[[str], None] = lambda place: None,
    judge: Callable[[Trial], float | None] = lambda trial: score(trial.values, trial.share),
) -> tuple[list[str], Any]:
    """Search until the oracle stops, or until `step` raises; returns the ids that were trained, in order."""
    from ctrkit.tuning.oracle import make_oracle

    space = Space.parse(SPEC) if space is None else space
    oracle = make_oracle(folder, options, space, first=first)
    if oracle.state_file.exists():
        oracle.reload()
    else:
        hp = oracle.get_space()
        space.declare(hp)
        oracle.update_space(hp)
    save = oracle.save

    def killable_save() -> None:
        step("before a save")
        save()
        step("after a save")

    oracle.save = killable_save
    files, trained = TrialFiles(folder), []
    while True:
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            return trained, oracle
        assert trial.status == "RUNNING"
        step("before training")
        known = files.read(trial.trial_id)
        if not known.is_over:
            trained.append(trial.trial_id)
            judged = judge(known)
            status = COMPLETED if judged is not None else FAILED
            files.write(replace(known, status=status, objective=judged, rows=int(900 * known.share)))
        step("after training")
        trial.status = "COMPLETED" if files.read(trial.trial_id).status == COMPLETED else "FAILED"
        if trial.status == "COMPLETED":
            oracle.update_trial(trial.trial_id, {options.objective: files.read(trial.trial_id).score})
        oracle.end_trial(trial)


def outcomes(folder: Path) -> list[tuple[str, dict[str, Any], float]]:
    """Id, values and score of each trial."""
    return [(trial.id, trial.values, trial.score) for trial in TrialFiles(folder).all()]
