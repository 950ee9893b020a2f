"""How to search: the method, its budget, and when a trial is given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.tuning.objective import Objective

RANDOM, BAYESIAN, HYPERBAND, GRID = "random", "bayesian", "hyperband", "grid"
METHODS = (RANDOM, BAYESIAN, HYPERBAND, GRID)
AUTO = "auto"  # A space for the zoo's models, see `ctrkit.tuning.space.auto_space`.
KEPT = ("best", "all")
LIMITS = ("trials", "minutes", "rows")  # What may grow, and must not make another search of it.


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """Options of a search. Raises `ConfigError` on a value that cannot be."""

    method: str = BAYESIAN  # random, bayesian, hyperband or grid.
    objective: str = "auc"  # Of the validation part: auc, grouped_auc, log_loss or pcoc_distance.
    space: Mapping[str, Any] | str = AUTO  # Dotted key of model or training -> its values; see `Space.parse`.
    trials: int | None = 20  # None: no limit.
    minutes: float | None = None  # Of all processes that searched, one after the other; running trials are finished.
    rows: int | None = None  # Training rows of all trials together, repetitions counted.
    workers: int = 1  # Processes that train trials side by side.
    default_first: bool = True  # The first trial has the experiment's own values, where they lie in the space.
    seed: int = 0
    validation: float = 0.1  # Share of rows held out for the search where the experiment holds out none.
    initial: int | None = None  # Bayesian: random trials before the first guess; None: three for each key.
    prune: bool = True  # Give up a trial whose validation curve is below the median of those before it; not Hyperband.
    prune_after_trials: int = 4  # Completed ones to compare with.
    prune_after: float = 0.25  # Share of its training rows that a trial always gets.
    factor: int = 3  # Hyperband: of the trials of a round one in so many goes on, with so many times the rows.
    rungs: int = 3  # Hyperband: rounds of the longest bracket; the first one trains 1 / factor^(rungs - 1) of the rows.
    iterations: int = 1  # Hyperband: how often to go through all brackets.
    finalists: int = 0  # Best trials to train again with other seeds; the best mean wins.
    finalist_seeds: int = 3  # Seeds of each of them, its own counted.
    keep: str = "best"  # Weights to keep: those of the best trial, or of all.
    name: str | None = None  # Of the search's folder; "new" for a fresh one; None: the unfinished or latest one.

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("keep", KEPT)):
            if getattr(self, name) not in known:
                got = getattr(self, name)
                raise ConfigError(
                    f"tuning.{name} is {got!r}, expected one of {', '.join(known)}.{did_you_mean(str(got), known)}"
                )
        Objective(self.objective)
        for name, least in (
            ("trials", 1),
            ("rows", 1),
            ("workers", 1),
            ("seed", 0),
            ("initial", 1),
            ("prune_after_trials", 1),
            ("factor", 2),
            ("rungs", 1),
            ("iterations", 1),
            ("finalists", 0),
            ("finalist_seeds", 2),
        ):
            self._expect_count(name, least)
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"tuning.minutes is {self.minutes!r}, expected a number above 0, or null for no limit.")
        for name in ("validation", "prune_after"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"tuning.{name} is {getattr(self, name)!r}, expected a share between 0 and 1.")
        if not any(getattr(self, name) is not None for name in LIMITS) and self.method in (RANDOM, BAYESIAN):
            raise ConfigError(
                f"tuning.method={self.method} would never end: type a budget, tuning.trials=20, tuning.minutes=30 or "
                "tuning.rows=10000000."
            )

    def _expect_count(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value is None and name in ("trials", "rows", "initial"):
            return
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"tuning.{name} is {value!r}, expected a whole number of at least {least}.")
