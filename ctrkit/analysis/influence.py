"""How far each row moves a metric: the spread of that is the spread of the metric."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ctrkit.analysis.delong import classes, placements
from ctrkit.analysis.scored import Scored
from ctrkit.errors import CtrkitError
from ctrkit.metrics.exact import CLIP, group_areas


class Influence(NamedTuple):
    """A metric with the first-order part that each unit (a row, or a group of rows) has in it."""

    estimate: float
    parts: np.ndarray  # float64 [units], of sum 0.

    @property
    def variance(self) -> float:
        """Of the estimate, with units drawn independently; 0 for a single unit, which says nothing."""
        units = len(self.parts)
        return float((self.parts**2).sum()) * (units / (units - 1)) if units > 1 else 0.0


def influences(rows: Scored, groups: np.ndarray | None = None) -> dict[str, Influence]:
    """Metrics as `ctrkit.metrics.exact.summarize` names them, without those that the rows do not define.

    With `groups`, int64 [n], the rows of one group are drawn together: a user's rows are alike, so they say less than
    as many users. Raises `CtrkitError` for a score that is no probability.
    """
    found: dict[str, Influence] = {}
    total, clicks = rows.weights.sum(), (rows.weights * rows.labels).sum()
    if total > 0:
        found["log_loss"] = _mean(losses(rows), rows.weights)
        found["label_rate"] = _mean(rows.labels, rows.weights)
        found["mean_score"] = _mean(rows.scores, rows.weights)
    if clicks > 0:
        pcoc = float((rows.weights * rows.scores).sum() / clicks)
        found["pcoc"] = Influence(pcoc, rows.weights * (rows.scores - pcoc * rows.labels) / clicks)
    auc, below, above = placements(rows)
    if not np.isnan(auc):
        click, other = classes(rows)
        parts = click * (below - auc) / click.sum() + other * (above - auc) / other.sum()
        found["auc"] = Influence(auc, parts)
    if groups is None:
        return found
    _, unit = np.unique(groups, return_inverse=True)
    found = {name: Influence(one.estimate, np.bincount(unit, one.parts)) for name, one in found.items()}
    areas, weight = group_areas(rows.labels, rows.scores, groups, rows.weights)
    counted = ~np.isnan(areas)
    if weight[counted].sum() > 0:
        found["grouped_auc"] = _mean(areas[counted], weight[counted])
    return found


def losses(rows: Scored) -> np.ndarray:
    """Log loss of each row in nats, float64 [n]. Raises `CtrkitError` for a score that is no probability."""
    if rows.scores.min() < 0 or rows.scores.max() > 1:
        raise CtrkitError(
            f"Scores lie between {rows.scores.min():g} and {rows.scores.max():g}, expected probabilities; "
            "of a logit take the sigmoid first."
        )
    chance = np.clip(rows.scores, CLIP, 1 - CLIP)
    return -np.where(rows.labels == 1, np.log(chance), np.log1p(-chance))


def _mean(values: np.ndarray, weights: np.ndarray) -> Influence:
    mean = float((weights * values).sum() / weights.sum())
    return Influence(mean, weights * (values - mean) / weights.sum())
