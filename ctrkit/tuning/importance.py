"""Which keys of a search mattered: how much worse a random forest foretells unseen trials when a key is shuffled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from ctrkit.tuning.space import Space

LEAST_TRIALS = 8  # With fewer a forest foretells nothing.
FOLDS, TREES, SHUFFLES = 5, 60, 10


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Of each key, the share of the variance of the objective that is no longer foretold when the key is shuffled."""

    keys: tuple[str, ...]  # The most important first.
    values: tuple[float, ...]  # 0 and below: shuffling it does no harm.
    explained: float  # Share of the variance over unseen trials that the forest foretells; below 0: none.
    trials: int


def importance(rows: Sequence[Mapping[str, Any]], scores: Sequence[float], space: Space) -> Importance | None:
    """Measure it over trials that a forest has not seen, in five folds; None where there are too few trials.

    Only keys that took more than one value count. Source of the shuffling: Breiman, "Random Forests", 2001, section 10.

    Args:
        rows: the values of each trial.
        scores: its objective, a number.
    """
    x, keys = positions(rows, space)
    y = np.asarray(scores, dtype=np.float64)
    if len(y) < LEAST_TRIALS or not keys or np.ptp(y) == 0:
        return None
    random = np.random.default_rng(0)
    foretold = np.empty_like(y)
    shuffled = np.zeros((len(keys), len(y)))  # Squared errors, the mean over shuffles.
    for known, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0).fit(x[known], y[known])
        foretold[unseen] = forest.predict(x[unseen])
        for column in range(len(keys)):
            changed = np.tile(x[unseen], (SHUFFLES, 1))
            changed[:, column] = random.choice(x[:, column], len(changed))
            errors = (forest.predict(changed).reshape(SHUFFLES, -1) - y[unseen]) ** 2
            shuffled[column, unseen] = errors.mean(axis=0)
    variance = float(np.mean((y - y.mean()) ** 2))
    error = float(np.mean((foretold - y) ** 2))
    lost = (shuffled.mean(axis=1) - error) / variance
    order = np.argsort(-lost)
    return Importance(
        keys=tuple(keys[one] for one in order),
        values=tuple(float(lost[one]) for one in order),
        explained=1 - error / variance,
        trials=len(y),
    )


def positions(rows: Sequence[Mapping[str, Any]], space: Space) -> tuple[np.ndarray, list[str]]:
    """Where each trial lies along each key that varies, `float64 [trials, keys]` in `[0, 1]`, and the keys."""
    columns, keys = [], []
    for key in dict.fromkeys(key for row in rows for key in row):
        column = column_of(key, [row.get(key) for row in rows], space)
        if np.ptp(column) > 0:
            columns.append(column)
            keys.append(key)
    return (np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))), keys


def column_of(key: str, values: Sequence[Any], space: Space) -> np.ndarray:
    """Positions of the values of one key in `[0, 1]`; of a key that a model function asked for, by order."""
    dimension = space.dimensions.get(key)
    if dimension is not None and all(value is not None for value in values):
        return np.array([dimension.position(value) for value in values], dtype=np.float64)
    known = sorted({*values}, key=lambda value: (value is None, isinstance(value, str), value if value else 0))
    return np.array([known.index(value) for value in values], dtype=np.float64) / max(len(known) - 1, 1)
