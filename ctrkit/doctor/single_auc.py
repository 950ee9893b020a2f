"""AUC of one feature alone: what its values say of the label, learned on one half of the rows, judged on the other."""

from __future__ import annotations

import numpy as np

_PRIOR_ROWS = 10.0  # A value's click rate is drawn towards the whole half's as by so many rows.


def single_auc(counts: np.ndarray) -> float | None:
    """Mean of the two halves' AUC; None where a half has rows of one label only.

    A row's own number or the like says nothing of other rows: its AUC is 0.5.

    Args:
        counts: int `[values, half, label]`, missing as a value of its own.
    """
    found = [_auc(_rates(counts[:, half]), counts[:, 1 - half].astype(np.float64)) for half in (0, 1)]
    known = [auc for auc in found if not np.isnan(auc)]
    return float(np.mean(known)) if len(known) == 2 else None


def _rates(counts: np.ndarray) -> np.ndarray:
    rows, clicks = counts.sum(axis=1).astype(np.float64), counts[:, 1].astype(np.float64)
    prior = clicks.sum() / max(1.0, rows.sum())
    return np.asarray((clicks + _PRIOR_ROWS * prior) / (rows + _PRIOR_ROWS))


def _auc(scores: np.ndarray, counts: np.ndarray) -> float:
    """Of values with equal scores half of the pairs count."""
    _, place = np.unique(scores, return_inverse=True)
    negatives, positives = (np.bincount(place, counts[:, label]) for label in (0, 1))
    pairs = negatives.sum() * positives.sum()
    if pairs == 0:
        return float("nan")
    return float((positives * (np.cumsum(negatives) - negatives / 2)).sum() / pairs)
