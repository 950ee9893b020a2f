"""What a search looks for: a metric of the validation part and the direction that is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ctrkit.errors import ConfigError, did_you_mean

HIGHER, LOWER = "max", "min"  # As keras-tuner has it.
DIRECTIONS = {"auc": HIGHER, "grouped_auc": HIGHER, "log_loss": LOWER, "pcoc_distance": LOWER}
PREFIX = "validation_"  # Of metrics in a run's reports.


@dataclass(frozen=True)
class Objective:
    """One of `DIRECTIONS`. Raises `ConfigError` on any other name."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in DIRECTIONS:
            why = " PCOC itself is best in the middle, at 1: type pcoc_distance." if self.name == "pcoc" else ""
            raise ConfigError(
                f"tuning.objective is {self.name!r}, expected one of {', '.join(DIRECTIONS)}."
                f"{why or did_you_mean(str(self.name), DIRECTIONS)}"
            )

    @property
    def direction(self) -> str:
        """`max` or `min`."""
        return DIRECTIONS[self.name]

    def of(self, metrics: Mapping[str, float | None]) -> float:
        """Its value among a run's metrics, with or without the prefix `validation_`; NaN where it is not there.

        `pcoc_distance` is the absolute logarithm of predicted over observed clicks: 0 is calibrated, and twice too many
        is as far as half of them.

        >>> round(Objective("pcoc_distance").of({"validation_pcoc": 0.5}), 3)
        0.693
        """
        if self.name == "pcoc_distance":
            pcoc = _number(metrics, "pcoc")
            return abs(math.log(pcoc)) if pcoc > 0 else math.nan
        return _number(metrics, self.name)

    def is_better(self, first: float, second: float) -> bool:
        """Whether `first` is better than `second`; NaN is never better, and anything is better than NaN."""
        if math.isnan(first) or math.isnan(second):
            return math.isnan(second) and not math.isnan(first)
        return first > second if self.direction == HIGHER else first < second

    def rank(self, value: float) -> float:
        """A number by which sorting puts the best first and NaN last."""
        return math.inf if math.isnan(value) else -value if self.direction == HIGHER else value


def _number(metrics: Mapping[str, float | None], name: str) -> float:
    value = metrics.get(PREFIX + name, metrics.get(name))
    return math.nan if value is None else float(value)
