"""Which keys of a search mattered: how much worse a random forest foretells unseen trials when a key is shuffled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from ctrkit.tuning.dimension import Dimension
from ctrkit.tuning.space import Space

UNSET = "(unset)"  # Of a trial that has no value for a key.
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
        column = Axis(key, [row.get(key, UNSET) for row in rows], space).heights
        if np.ptp(column) > 0:
            columns.append(column)
            keys.append(key)
    return (np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))), keys


class Axis:
    """One key of a search: where each of some trials' values lies on it, and which values have a place there.

    A key of the space has the dimension's order and range; any other, such as one that a model function asked for, that
    of its values. A trial that has no value for the key lies above all others.
    """

    def __init__(self, key: str, values: Sequence[Any], space: Space) -> None:
        dimension = space.dimensions.get(key)
        if dimension is not None and not any(value is UNSET for value in values):
            self.heights = np.array([dimension.position(value) for value in values], dtype=np.float64)
            self.dimension: Dimension | None = dimension
            self.places: list[tuple[float, Any]] = []
            return
        distinct = {json.dumps(value) if value is not UNSET else UNSET: value for value in values}
        known = sorted(distinct, key=lambda word: _order(distinct[word]))
        self.dimension = None
        self.places = [(at / max(len(known) - 1, 1), distinct[word]) for at, word in enumerate(known)]
        place = {word: height for word, (height, _) in zip(known, self.places, strict=True)}
        self.heights = np.array([place[json.dumps(value) if value is not UNSET else UNSET] for value in values])


def _order(value: Any) -> tuple[int, Any]:
    if isinstance(value, (int, float)):
        return (0, value)
    return (2, "") if value is UNSET else (1, json.dumps(value))
