"""Say how far an AUC may be off for the number of rows it was measured on."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ctrkit.analysis.delong import classes, placements, variance_of_mean
from ctrkit.analysis.scored import Scored, scored
from ctrkit.errors import ConfigError, did_you_mean

METHODS = ("delong", "bootstrap")
REPLICATES = 500  # Enough for two digits of a 95% interval.
ROWS_AT_ONCE = 4_000_000  # Rows times replicates held in memory at once: about 100 MB.


class Interval(NamedTuple):
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float


def auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    method: Literal["delong", "bootstrap"] = "delong",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Interval:
    """Return the AUC with the interval that holds the true one with `confidence`.

    Args:
        method: `delong`, from the variance of each row's part in the AUC: 0.5 s for a million rows; `bootstrap`, from
            the AUC of so many `replicates` of the rows, drawn again: hundreds of times slower, but no formula.
    Returns:
        Bounds within [0, 1]; all NaN where one class is absent.
    Raises:
        ConfigError: an unknown method, or a confidence outside (0, 1).
        ShapeError, CtrkitError: as `scored` says.
    Source: DeLong et al., "Comparing the areas under two or more correlated ROC curves", Biometrics 1988; weights enter
    each mean and, squared, its variance.
    """
    rows = scored(labels, scores, weights)
    if method not in METHODS:
        raise ConfigError(f"Unknown method {method!r} for an AUC interval.{did_you_mean(method, METHODS)}")
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` is {confidence!r}, expected a share between 0 and 1, e.g. 0.95.")
    if method == "delong":
        return _delong(rows, confidence)
    return _bootstrap(rows, confidence, replicates, np.random.default_rng(seed))


def _delong(rows: Scored, confidence: float) -> Interval:
    auc, below, above = placements(rows)
    if np.isnan(auc):
        return Interval(np.nan, np.nan, np.nan)
    click, other = classes(rows)
    variance = variance_of_mean(below, click) + variance_of_mean(above, other)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * variance**0.5
    return Interval(auc, max(0.0, auc - reach), min(1.0, auc + reach))


def _bootstrap(rows: Scored, confidence: float, replicates: int, random: np.random.Generator) -> Interval:
    order = np.argsort(rows.scores, kind="stable")
    rising = rows.scores[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(rising)) + 1])  # The first row of each distinct score.
    click = (rows.weights * rows.labels)[order]
    other = (rows.weights * (1 - rows.labels))[order]
    estimate = float(aucs_of_draws(click[None], other[None], starts)[0])
    if np.isnan(estimate):
        return Interval(np.nan, np.nan, np.nan)
    at_once = max(1, ROWS_AT_ONCE // len(rising))
    drawn = []
    for begin in range(0, replicates, at_once):
        shape = (min(at_once, replicates - begin), len(rising))
        times = random.poisson(1.0, size=shape)  # How often a row is drawn: in the limit of many rows.
        drawn.append(aucs_of_draws(times * click, times * other, starts))
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(np.concatenate(drawn), [tail, 100 - tail])
    return Interval(estimate, float(low), float(high))


def aucs_of_draws(click: np.ndarray, other: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """AUC of each replicate, from weights `[replicates, n]` in rising order of the score."""
    clicks = np.add.reduceat(click, starts, axis=1)
    others = np.add.reduceat(other, starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2  # Non-clicks below each score; those at it count a half.
    pairs = clicks.sum(axis=1) * others.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(pairs > 0, (clicks * below).sum(axis=1) / pairs, np.nan)
