"""What several runs that differ in their seed alone say of the next ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ctrkit.errors import ConfigError

TOLERANCE = 1e-12


class OverSeeds(NamedTuple):
    """A metric over runs of one configuration under several seeds."""

    mean: float
    deviation: float  # Of single runs, with n - 1.
    runs: int
    low: float  # Bounds of the interval that holds the mean of as many further runs.
    high: float


def over_seeds(values: Sequence[float], *, further: int | None = None, confidence: float = 0.95) -> OverSeeds | None:
    """Return the mean of `values` and the interval that holds the mean of `further` runs under other seeds.

    Both means vary, so the interval is wider than that of the mean alone: the half width is
    `t(n - 1) * deviation * sqrt(1 / n + 1 / further)`. It speaks of seeds only: the rows that are scored stay the same.

    Args:
        values: one a run, of runs that are independent and about normally distributed.
        further: runs whose mean is to be held; None: as many as there are values; 1: the next single run.
        confidence: the share of such intervals that hold it.
    Returns:
        None for fewer than two values: one run says nothing of the spread.
    Raises:
        ConfigError: a confidence outside (0, 1), or `further` below 1.
    Source: Hahn and Meeker, "Statistical Intervals", 1991, section 4.7.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` is {confidence!r}, expected a share between 0 and 1, e.g. 0.95.")
    if further is not None and further < 1:
        raise ConfigError(f"`further` is {further!r}, expected 1 run or more.")
    runs = len(values)
    if runs < 2:
        return None
    mean = math.fsum(values) / runs
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (runs - 1))
    spread = deviation * math.sqrt(1 / runs + 1 / (runs if further is None else further))
    reach = student_quantile((1 + confidence) / 2, runs - 1) * spread
    return OverSeeds(mean, deviation, runs, mean - reach, mean + reach)


def student_quantile(share: float, freedom: int) -> float:
    """The value below which `share` (from 0.5 to below 1) of Student's t with `freedom` degrees lies."""
    low, high = 0.0, 1.0
    while student_share(high, freedom) < share:
        high *= 2
    while high - low > TOLERANCE * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if student_share(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def student_share(value: float, freedom: int) -> float:
    """The share of Student's t below `value` >= 0.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
    """
    angle = math.atan2(value, math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    term, total = 1.0, 0.0
    for k in range(freedom % 2, freedom - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    if freedom % 2:
        return 0.5 + (angle + sine * cosine * total) / math.pi
    return 0.5 + sine * total / 2
