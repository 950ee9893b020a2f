"""How far two samples of one feature are apart: Jensen-Shannon divergence, in bits, beyond what chance gives."""

from __future__ import annotations

import numpy as np

CELLS = 100  # Values that count by themselves, the most frequent of both samples; all others are one cell.


def divergence(before: np.ndarray, now: np.ndarray) -> float:
    """Jensen-Shannon divergence of two distributions given as counts of the same cells: 0 (equal) to 1 bit (disjoint).

    Two finite samples of one distribution are apart, too, by about `(cells - 1) / 8 * (1/n + 1/m)` nats (the mean of
    a chi-squared); this much is taken off, so that a small sample is no drift. NaN where a sample is empty.

    Source: Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory, 1991.
    """
    n, m = float(before.sum()), float(now.sum())
    if n == 0 or m == 0:
        return float("nan")
    p, q = before / n, now / m
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(q > 0, q * np.log2(q / middle), 0.0)
    chance = (int((middle > 0).sum()) - 1) / 8 * (1 / n + 1 / m) / np.log(2)
    return float(np.clip(apart.sum() / 2 - chance, 0.0, 1.0))


def heaviest(before: np.ndarray, now: np.ndarray, cells: int = CELLS) -> tuple[np.ndarray, np.ndarray]:
    """The counts of the values that are most frequent in both samples together, and last the sum of all others."""
    shares = before / max(1, before.sum()) + now / max(1, now.sum())
    if len(shares) <= cells:
        return np.append(before, 0), np.append(now, 0)
    kept = np.argpartition(-shares, cells)[:cells]
    rest = [side.sum() - side[kept].sum() for side in (before, now)]
    return np.append(before[kept], rest[0]), np.append(now[kept], rest[1])
