"""Exact metrics of scores against labels, over whole arrays in float64: no thresholds, no sampling."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ctrkit.errors import CtrkitError, ShapeError

CLIP = 1e-7  # Log loss keeps scores this far from 0 and 1, as Keras does: float32 sigmoids reach both.


class _Scored(NamedTuple):
    """Rows to be judged, each array `float64 [n]`."""

    labels: np.ndarray
    scores: np.ndarray
    weights: np.ndarray


def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: the share of (click, no click) pairs in the right order; a tie counts a half.

    Args:
        labels: 0 or 1, `[n]` or `[n, 1]`.
        scores: any finite numbers that grow with the chance of a click, same shape.
        weights: non-negative weights of the rows; a pair weighs the product. None: all equal.
    Returns:
        A number in `[0, 1]`, or NaN where all labels are the same: no pair can be formed.
    Raises:
        ShapeError: the lengths differ.
        CtrkitError: a score is NaN, a label is neither 0 nor 1 or a weight is negative.
    """
    rows = _checked(labels, scores, weights)
    areas, _ = _areas(rows, np.zeros(len(rows.labels), dtype=np.int64))
    return float(areas[0]) if len(areas) else float("nan")


def grouped_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean of the AUC within each group, weighted by the group's impressions (their weights).

    Groups whose labels are all the same have no AUC and are left out; NaN where none is left. `groups` holds integers
    `[n]`, usually of the user. Raises as `auc`, and `ShapeError` where there is not one group a row.
    Source: Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017.
    """
    areas, impressions = group_areas(labels, scores, groups, weights)
    counted = ~np.isnan(areas)
    total = impressions[counted].sum()
    return float((areas[counted] * impressions[counted]).sum() / total) if total > 0 else float("nan")


def group_areas(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The AUC (NaN where one class is absent) and the weight of each group, float64 each, in order of the groups.

    Raises as `grouped_auc`.
    """
    rows = _checked(labels, scores, weights)
    keys = np.asarray(groups).reshape(-1)
    if len(keys) != len(rows.labels):
        raise ShapeError(
            f"Grouped AUC: got {len(keys):,} groups for {len(rows.labels):,} labels; pass one group a row."
        )
    return _areas(rows, keys)


def log_loss(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean negative log-likelihood of the labels, in nats; `scores` are probabilities. Raises as `auc`."""
    return _log_loss(_checked(labels, scores, weights))


def pcoc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Predicted over observed clicks: 1 is calibrated, above 1 promises too many.

    NaN where there is no click. Raises as `auc`.
    """
    return _pcoc(_checked(labels, scores, weights))


def summarize(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None, groups: ArrayLike | None = None
) -> dict[str, float]:
    """All metrics at once: auc, log_loss, pcoc, label_rate, mean_score, rows and, where groups are given, grouped_auc.

    >>> {name: round(value, 3) for name, value in summarize([0, 1], [0.25, 0.5]).items()}
    {'auc': 1.0, 'log_loss': 0.49, 'pcoc': 0.75, 'label_rate': 0.5, 'mean_score': 0.375, 'rows': 2}
    """
    rows = _checked(labels, scores, weights)
    total = rows.weights.sum()
    found = {
        "auc": auc(rows.labels, rows.scores, rows.weights),
        "log_loss": _log_loss(rows),
        "pcoc": _pcoc(rows),
        "label_rate": float(rows.labels @ rows.weights / total) if total > 0 else float("nan"),
        "mean_score": float(rows.scores @ rows.weights / total) if total > 0 else float("nan"),
        "rows": len(rows.labels),
    }
    if groups is not None:
        found["grouped_auc"] = grouped_auc(rows.labels, rows.scores, groups, rows.weights)
    return found


def _log_loss(rows: _Scored) -> float:
    total = rows.weights.sum()
    if not total > 0:
        return float("nan")
    chance = np.clip(rows.scores, CLIP, 1 - CLIP)
    likelihood = rows.labels * np.log(chance) + (1 - rows.labels) * np.log1p(-chance)
    return float(-(likelihood @ rows.weights) / total)


def _pcoc(rows: _Scored) -> float:
    clicks = rows.labels @ rows.weights
    return float(rows.scores @ rows.weights / clicks) if clicks > 0 else float("nan")


def _areas(rows: _Scored, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC (NaN where one class is absent) and weight of each group, in the order of the sorted groups."""
    if not len(groups):
        return np.empty(0), np.empty(0)
    order = np.lexsort((rows.scores, groups))
    group, score = groups[order], rows.scores[order]
    clicked = rows.labels[order] * rows.weights[order]
    passed = rows.weights[order] - clicked
    new_group = np.concatenate([[True], group[1:] != group[:-1]])
    new_tie = new_group | np.concatenate([[True], score[1:] != score[:-1]])
    tie_starts = np.flatnonzero(new_tie)
    clicked_at, passed_at = np.add.reduceat(clicked, tie_starts), np.add.reduceat(passed, tie_starts)
    group_of_tie = np.cumsum(new_group)[tie_starts] - 1
    first_tie = np.flatnonzero(np.concatenate([[True], group_of_tie[1:] != group_of_tie[:-1]]))
    below = np.cumsum(passed_at) - passed_at  # Weight of the negatives with a lower score, …
    below -= below[first_tie][group_of_tie]  # … in the same group.
    won = np.add.reduceat(clicked_at * (below + 0.5 * passed_at), first_tie)
    clicks, passes = np.add.reduceat(clicked_at, first_tie), np.add.reduceat(passed_at, first_tie)
    pairs = clicks * passes
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0), clicks + passes


def _checked(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None) -> _Scored:
    label, score = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    weight = np.ones(label.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    for name, array in (("labels", label), ("scores", score), ("weights", weight)):
        if array.ndim == 0 or array.size != len(array) or len(array) != len(label):
            raise ShapeError(
                f"Metrics: `{name}` has shape {array.shape}, expected [n] or [n, 1] with as many rows as `labels` "
                f"{label.shape}. Pass one number a row, e.g. `{name}[:, 0]`."
            )
    label, score, weight = label.reshape(-1), score.reshape(-1), weight.reshape(-1)
    _refuse(np.isnan(score), score, "scores", "a number; see which rows the model cannot score")
    _refuse((label != 0) & (label != 1), label, "labels", "0 or 1; turn them by a rule, e.g. `labels >= 4`")
    _refuse(~((weight >= 0) & np.isfinite(weight)), weight, "weights", "a finite number >= 0")
    return _Scored(label, score, weight)


def _refuse(bad: np.ndarray, array: np.ndarray, name: str, expected: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        raise CtrkitError(
            f"Metrics: `{name}` has {int(bad.sum()):,} bad of {len(array):,} values, the first is {array[first]} at "
            f"row {first:,}; expected {expected}."
        )
