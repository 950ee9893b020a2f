"""What can be counted of one column."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

# Spellings of "no value" that logs use; the last ones are values in some logs, so they count among numbers only.
SURELY_MISSING = ("NULL", "null", "NaN", "nan", "\\N", "?", "N/A", "n/a", "<NA>")
PERHAPS_MISSING = ("NA", "None", "none", "-", "-1.#IND")


@dataclass(frozen=True, eq=False)
class Facts:
    """A column's values in the sample, and what they add up to."""

    name: str
    values: pl.Series  # Of the sample, null where missing.
    scale: float  # Rows of the log for each of the sample.

    @property
    def rows(self) -> int:
        """Of the sample."""
        return len(self.values)

    @cached_property
    def present(self) -> pl.Series:
        """The values that are there."""
        return self.values.drop_nulls()

    @property
    def missing(self) -> float:
        """Share of rows without a value."""
        return self.values.null_count() / max(1, self.rows)

    @property
    def is_list(self) -> bool:
        """Parquet only."""
        return isinstance(self.values.dtype, (pl.List, pl.Array))

    @property
    def is_moment(self) -> bool:
        """A date or a time by its type; Parquet only."""
        return self.values.dtype.is_temporal()

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each distinct value is in the sample, the most frequent first."""
        if self.is_list:
            return np.empty(0, dtype=np.int64)
        return np.sort(self.present.value_counts()["count"].to_numpy().astype(np.int64))[::-1]

    @property
    def distinct(self) -> int:
        """Values in the sample."""
        return len(self.counts)

    @property
    def estimated(self) -> int:
        """Values in the log: those that came up once stand for more.

        Source: Charikar et al., "Towards Estimation Error Guarantees for Distinct Values", PODS 2000 (GEE).
        """
        if self.scale > 1 and self.distinct == self.counts.sum():
            return round(self.scale * self.distinct)  # No value came up twice.
        once = int((self.counts == 1).sum())
        return round(self.distinct - once + math.sqrt(self.scale) * once)

    @property
    def shared_by(self) -> float:
        """Rows of the log with a row's value, that row included, on average: 1 where every row has its own.

        Two rows of one value are both in a sample of one in `scale` as often as its square says.
        """
        pairs = float((self.counts * (self.counts - 1)).sum())
        return 1 + self.scale * pairs / max(1, self.counts.sum())

    @cached_property
    def text(self) -> pl.Series:
        """The values as strings."""
        return self.values if self.values.dtype == pl.String else self.values.cast(pl.String)

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """float64 `[rows]`, NaN where missing; None where a value is no number, or a code such as 007."""
        if self.is_list or self.is_moment or not len(self.present):
            return None
        if self.values.dtype.is_numeric():
            return self.values.cast(pl.Float64).fill_null(np.nan).to_numpy()
        stripped = self.text.str.strip_chars()
        numbers = stripped.cast(pl.Float64, strict=False)
        if numbers.null_count() > self.values.null_count() or stripped.str.contains(r"^-?0\d").any():
            return None
        return numbers.fill_null(np.nan).to_numpy()

    @property
    def integers(self) -> bool:
        """All numbers are whole."""
        found = self.numbers
        return found is not None and bool(np.all(np.isnan(found) | (found == np.floor(found))))

    @property
    def is_weight(self) -> bool:
        """A number that is not negative, in every row."""
        return self.numbers is not None and not self.missing and bool(np.all(self.numbers >= 0))

    @property
    def rising(self) -> bool:
        """In the log's order no number, or text, is lower than the one before."""
        if self.numbers is not None:
            found = self.numbers[~np.isnan(self.numbers)]
            return len(found) > 2 and bool(np.all(np.diff(found) >= 0)) and found[0] < found[-1]
        return not self.is_list and len(self.present) > 2 and self.present.is_sorted() and self.distinct > 1

    @cached_property
    def codes(self) -> np.ndarray:
        """int `[rows]`: 0 where missing, else a number for each distinct value."""
        if self.is_list:
            return np.zeros(self.rows, dtype=np.int64)
        return self.values.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def missing_spellings(frame: pl.DataFrame) -> tuple[str, ...]:
    """Which spellings of "no value" the text columns use, as they stand there."""
    found: dict[str, None] = {}
    for column in frame.get_columns():
        if column.dtype != pl.String:
            continue
        counts = column.drop_nulls().value_counts()
        values = dict(zip(counts[column.name].to_list(), counts["count"].to_list(), strict=True))
        spelled = [value for value in values if value.strip() in (*SURELY_MISSING, *PERHAPS_MISSING)]
        if not spelled:
            continue
        others = [value for value in values if value not in spelled]
        numeric = bool(others) and all(re.fullmatch(r"\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*", one) for one in others)
        found |= dict.fromkeys(one for one in spelled if numeric or one.strip() in SURELY_MISSING)
    return tuple(found)
