"""The part of each row in an AUC, whose spread is the AUC's own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ctrkit.analysis.scored import Scored


class Placements(NamedTuple):
    """Where each row lies among those of the other class.

    Source: DeLong et al., "Comparing the areas under two or more correlated ROC curves", Biometrics 1988, whose
    structural components these are; weights enter each mean.
    """

    auc: float  # NaN where one class is absent.
    below: np.ndarray  # float64 [n]: share of the non-clicks with a lower score, a tie a half.
    above: np.ndarray  # float64 [n]: share of the clicks with a higher score.


def placements(rows: Scored) -> Placements:
    """Place every row, in the time that sorting takes."""
    click, other = classes(rows)
    if click.sum() == 0 or other.sum() == 0:
        nothing = np.full(len(rows.labels), np.nan)
        return Placements(np.nan, nothing, nothing)
    _, place = np.unique(rows.scores, return_inverse=True)
    below = _share_below(place, other)[place]
    above = 1 - _share_below(place, click)[place]
    return Placements(float((click * below).sum() / click.sum()), below, above)


def classes(rows: Scored) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each row as a click, and as a non-click: float64 [n] each."""
    return rows.weights * rows.labels, rows.weights * (1 - rows.labels)


def variance_of_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Variance of the weighted mean of independent `values`; rows without weight count nothing."""
    rows = int((weights > 0).sum())
    correction = rows / (rows - 1) if rows > 1 else 0.0
    mean = (weights * values).sum() / weights.sum()
    return float(((weights * (values - mean)) ** 2).sum() / weights.sum() ** 2) * correction


def _share_below(place: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each distinct score, the weight below it as a share of all; what lies at it counts a half."""
    at = np.bincount(place, weights)
    return (np.cumsum(at) - at / 2) / at.sum()
