"""Tell a column that orders rows in time from other numbers and texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrkit.sketching.facts import Facts
from ctrkit.sketching.names import TIME, speaks_of

_EPOCHS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_FIRST, _LAST = 8.0e8, 3.0e9  # 1995 to 2065, in seconds since 1970.
_SORTABLE = r"^\d{4}([-/.])\d\d([-/.])\d\d([ T]\d\d:\d\d(:\d\d)?.*)?$"
_DATE_NUMBERS = ((8, "%Y%m%d"), (10, "%Y%m%d%H"), (14, "%Y%m%d%H%M%S"))


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A column that could be the log's time."""

    column: str
    why: str
    score: int


def moment_of(facts: Facts) -> Moment | None:
    """What time a column tells; None where it tells none that sorts."""
    named = speaks_of(facts.name, TIME)
    found = _by_type(facts) or _by_number(facts, named=named) or _by_text(facts)
    if found is None or facts.distinct < 3:
        return None
    why, score = found
    rising = facts.rising
    return Moment(
        column=facts.name,
        why=why + ("; the log is in its order" if rising else ""),
        score=score + 2 * named + rising,
    )


def _by_type(facts: Facts) -> tuple[str, int] | None:
    return ("a time by its type in Parquet", 4) if facts.is_moment else None


def _by_number(facts: Facts, *, named: bool) -> tuple[str, int] | None:
    numbers = facts.numbers
    if numbers is None:
        return None
    present = numbers[~np.isnan(numbers)]
    low, high = float(present.min()), float(present.max())
    for unit, factor in _EPOCHS.items():
        if _FIRST * factor <= low and high <= _LAST * factor and (named or facts.rising or facts.distinct > 100):
            return f"{unit} since 1970", 3
    if facts.integers and named:
        digits = len(str(int(high)))
        if any(digits == length and 1.9e3 <= high / 10 ** (length - 4) <= 2.1e3 for length, _ in _DATE_NUMBERS):
            return "a date written as one number", 3
        if digits == 8 and low >= 10**7 and _is_year_to_hour(present):
            return "year, month, day and hour written as one number", 3
        if facts.rising and facts.distinct > 24:
            return "a number that only rises", 1
    return None


def _is_year_to_hour(numbers: np.ndarray) -> bool:
    """YYMMDDHH, as Avazu has it."""
    values = numbers.astype(np.int64)
    hours, days, months = values % 100, values // 100 % 100, values // 10_000 % 100
    return bool((hours < 24).all() and ((days > 0) & (days < 32)).all() and ((months > 0) & (months < 13)).all())


def _by_text(facts: Facts) -> tuple[str, int] | None:
    if facts.is_list or facts.is_moment or facts.numbers is not None:
        return None
    if facts.text.drop_nulls().str.contains(_SORTABLE).all():
        return "dates that sort as text", 4
    return None
