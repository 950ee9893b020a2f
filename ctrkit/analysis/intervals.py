"""Intervals of all metrics at once, from drawing the rows again."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from ctrkit.analysis.influence import Influence, influences, losses
from ctrkit.analysis.scored import Scored, scored
from ctrkit.analysis.uncertainty import Interval, aucs_of_draws
from ctrkit.errors import ConfigError
from ctrkit.metrics.exact import group_areas

RESAMPLED = 20_000  # Rows up to which they are drawn again; with more the bootstrap's interval is the normal one.
REPLICATES = 400
ROWS_AT_ONCE = 2_000_000  # Rows times replicates held in memory at once: about 50 MB.
SHARES = ("auc", "grouped_auc", "label_rate", "mean_score")  # Within [0, 1].


def metric_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    replicates: int = REPLICATES,
    resampled: int = RESAMPLED,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return each metric of the rows with the interval that holds its true value with `confidence`.

    The interval is a bootstrap's (percentiles over `replicates` draws of the rows) for up to `resampled` rows, and the
    normal one from the influence of each row for more. With `groups` it is groups that are drawn, each with all of its
    rows: rows of one user are alike.

    Args:
        labels, scores, weights: as `ctrkit.metrics.auc`; scores are probabilities.
        groups: integers `[n]`.
    Returns:
        auc, log_loss, pcoc, label_rate, mean_score and, of groups, grouped_auc; without those that the rows do not
        define, e.g. the AUC of rows of one class.
    Raises:
        ConfigError: a confidence outside (0, 1).
        ShapeError, CtrkitError: as `ctrkit.analysis.scored.scored`, or for a score outside [0, 1].
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` is {confidence!r}, expected a share between 0 and 1, e.g. 0.95.")
    rows = scored(labels, scores, weights)
    keys = None if groups is None else np.asarray(groups).reshape(-1)
    found = influences(rows, keys)
    if len(rows.labels) > resampled:
        return {name: _bounded(name, *_normal(one, confidence)) for name, one in found.items()}
    drawn = _draws(rows, keys, replicates, np.random.default_rng(seed))
    tail = 100 * (1 - confidence) / 2
    intervals = {}
    for name, one in found.items():
        low, high = np.nanpercentile(drawn[name], [tail, 100 - tail])
        intervals[name] = _bounded(name, one.estimate, float(low), float(high))
    return intervals


def _normal(one: Influence, confidence: float) -> Interval:
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * one.variance**0.5
    return Interval(one.estimate, one.estimate - reach, one.estimate + reach)


def _bounded(name: str, estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, max(low, 0.0), min(high, 1.0) if name in SHARES else high)


def _draws(
    rows: Scored, groups: np.ndarray | None, replicates: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Each metric in each replicate, float64 [replicates]; NaN where a draw has no click."""
    order = np.argsort(rows.scores, kind="stable")
    label, score, weight, loss = (one[order] for one in (rows.labels, rows.scores, rows.weights, losses(rows)))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])
    units, unit = len(label), None
    if groups is not None:
        names, unit = np.unique(groups[order], return_inverse=True)
        units = len(names)
        areas, impressions = group_areas(rows.labels, rows.scores, groups, rows.weights)
        impressions = np.where(np.isnan(areas), 0.0, impressions)
        areas = np.nan_to_num(areas)
    parts: dict[str, list[np.ndarray]] = {}
    at_once = max(1, ROWS_AT_ONCE // len(label))
    for begin in range(0, replicates, at_once):
        # How often a unit is drawn: Poisson, in the limit of many units.
        times = random.poisson(1.0, size=(min(at_once, replicates - begin), units)).astype(np.float64)
        drawn = (times if unit is None else times[:, unit]) * weight
        total, clicks = drawn.sum(axis=1), drawn @ label
        with np.errstate(invalid="ignore", divide="ignore"):
            values = {
                "log_loss": (drawn @ loss) / total,
                "label_rate": clicks / total,
                "mean_score": (drawn @ score) / total,
                "pcoc": np.where(clicks > 0, (drawn @ score) / clicks, np.nan),
                "auc": aucs_of_draws(drawn * label, drawn * (1 - label), starts),
            }
            if unit is not None:
                values["grouped_auc"] = (times @ (impressions * areas)) / (times @ impressions)
        for name, value in values.items():
            parts.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in parts.items()}
