"""How much one column alone tells of the label, on rows that it was not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SURE = 3.0  # Standard errors that a difference has to be away from none.
_PRIOR = 5.0  # Rows of the average rate that are added to every value's own.


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Of a model that knows each value's share of clicks in the other half of the rows."""

    losses: np.ndarray  # Nats, of each row.
    auc: float

    @property
    def log_loss(self) -> float:
        """Nats a row."""
        return float(self.losses.mean())

    def surely_beats(self, other: Signal) -> bool:
        """Whether it is better by more than chance would make it."""
        gain = other.losses - self.losses
        return bool(gain.mean() > SURE * gain.std() / np.sqrt(max(1, len(gain))))


def signal(codes: np.ndarray, labels: np.ndarray) -> Signal:
    """`codes` int `[rows]` from 0, `labels` bool `[rows]`; each half is scored by what the other half knows."""
    scores = np.empty(len(codes))
    size = int(codes.max()) + 1 if len(codes) else 1
    half = np.arange(len(codes)) % 2 == 0
    for known, asked in ((half, ~half), (~half, half)):
        mean = labels[known].mean() if known.any() else 0.5
        rows = np.bincount(codes[known], minlength=size)
        clicks = np.bincount(codes[known], weights=labels[known], minlength=size)
        scores[asked] = ((clicks + _PRIOR * mean) / (rows + _PRIOR))[codes[asked]]
    scores = np.clip(scores, 1e-6, 1 - 1e-6)
    return Signal(losses=-np.where(labels, np.log(scores), np.log1p(-scores)), auc=_auc(scores, labels))


def _auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of pairs that are in order, a tie as half a pair."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return 0.5
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def buckets(values: np.ndarray, count: int) -> np.ndarray:
    """Codes of quantile buckets; code 0 is for a missing number."""
    present = ~np.isnan(values)
    edges = np.unique(np.quantile(values[present], np.linspace(0, 1, count + 1)[1:-1])) if present.any() else []
    return np.where(present, 1 + np.searchsorted(edges, values, side="right"), 0)
