"""Trials in order, best first, and the weights that are worth keeping."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterable

from ctrkit.training.checkpoint import BEST, CHECKPOINTS
from ctrkit.tuning.objective import Objective
from ctrkit.tuning.trial_file import COMPLETED, PRUNED, Trial, TrialFiles


def ranked(trials: Iterable[Trial], objective: Objective) -> list[Trial]:
    """Ended trials, best first.

    Those trained on all rows come before those that saw a share, pruned ones behind them, failed ones last. Finalists,
    trained with several seeds, come first by their mean: the best of many single runs is also the luckiest.
    """

    def key(trial: Trial) -> tuple[int, float, float, str]:
        order = {COMPLETED: 0, PRUNED: 1}.get(trial.status, 2)
        return (order - bool(trial.seeds), -trial.share, objective.rank(mean_score(trial, objective)), trial.id)

    return sorted((trial for trial in trials if trial.is_over), key=key)


def scores(trial: Trial, objective: Objective) -> list[float]:
    """The objective of each seed, the trial's own first."""
    return [trial.score, *(objective.of(metrics) for metrics in trial.seeds.values())]


def mean_score(trial: Trial, objective: Objective) -> float:
    """The mean of `scores`; NaN for a trial without a score."""
    return statistics.fmean(scores(trial, objective))


def deviation(trial: Trial, objective: Objective) -> float | None:
    """Standard deviation over the seeds; None where there is one seed."""
    values = scores(trial, objective)
    return statistics.stdev(values) if len(values) > 1 else None


def drop_weights(files: TrialFiles, objective: Objective) -> None:
    """Remove the checkpoints of every ended trial but the best."""
    for trial in ranked(files.all(), objective)[1:]:
        for name in (BEST, CHECKPOINTS):
            shutil.rmtree(files.run_dir(trial.id) / name, ignore_errors=True)
