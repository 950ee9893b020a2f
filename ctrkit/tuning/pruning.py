"""Give up a trial whose validation curve is worse than most were at that point: the median rule.

Source: Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ctrkit.tuning.objective import PREFIX, Objective

Curve = Sequence[Sequence[float]]  # [rows, objective] in order; rows, as steps of two batch sizes do not compare.


class TrialPruned(Exception):
    """Raised from within a training that is not worth going on with; no error."""


@dataclass(frozen=True, kw_only=True)
class MedianRule:
    """Whether a trial goes on."""

    objective: Objective
    least_trials: int  # Curves to compare with.
    least_rows: float  # That a trial is always trained on.

    def verdict(self, curve: Curve, others: Sequence[Curve]) -> str | None:
        """Why the trial of `curve` ends here; None when it goes on.

        Its best value so far is compared with the median of what the `others` had on average up to as many rows.
        """
        rows = curve[-1][0]
        averages = [mean for other in others if not math.isnan(mean := _mean_until(other, rows))]
        if rows < self.least_rows or len(averages) < self.least_trials:
            return None
        best = min((value for _, value in curve), key=self.objective.rank)
        median = statistics.median(averages)
        if not self.objective.is_better(median, best):
            return None
        return (
            f"after {rows:,.0f} rows its best {self.objective.name} was {best:.5g}, the median of {len(averages)} "
            f"trials {median:.5g}"
        )


class Curves:
    """An observer of a training that keeps its validation curve, tells it, and may end the training.

    Args:
        objective: what the curve is of.
        rows_per_step: to count rows by.
        start: the curve up to where an interrupted training goes on.
        told: also gets each report, e.g. a tracked run.
        on_point: called with the curve after each evaluation; may raise `TrialPruned`.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        rows_per_step: int,
        start: Curve = (),
        told: Callable[[int, Mapping[str, float]], None],
        on_point: Callable[[list[list[float]]], None],
    ) -> None:
        self._objective, self._rows_per_step = objective, rows_per_step
        self.points = [list(point) for point in start]
        self._told, self._on_point = told, on_point

    def on_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in a report of the training."""
        self._told(step, metrics)
        if not any(name.startswith(PREFIX) for name in metrics):
            return
        rows = step * self._rows_per_step
        self.points = [point for point in self.points if point[0] < rows]  # Those that an interrupted one reported.
        self.points.append([rows, self._objective.of(metrics)])
        self._on_point(self.points)


def _mean_until(curve: Curve, rows: float) -> float:
    values = [value for at, value in curve if at <= rows and value is not None]
    return statistics.fmean(values) if values else math.nan
