"""Find columns that hold several values in one: a user's clicked ads, a movie's genres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ctrkit.sketching.facts import Facts

SEPARATORS = ("|", ";", ",", " ", "^")
MOST_VALUES = 50  # That are kept of one row.
_OFTEN = 0.1  # Share of rows with more than one value from which on a column is taken for a list.
_REPEATED = 3.0  # Times that a single value comes up, on average.
_CONTAINED = 0.5  # Share of the single values that another column has to have.
_LONGEST = 40  # Characters of a single value, on average; beyond, it is text.
_LOOKED_AT = 20_000  # Rows.


@dataclass(frozen=True, kw_only=True)
class Several:
    """How a column holds several values."""

    separator: str | None  # None for a list of Parquet.
    of: str | None  # The column of single values; None where there is none.
    length: int  # Values of a row that are kept: as many as 95% of the rows have.
    average: float
    distinct: int


def several_in(facts: Facts, others: Sequence[Facts]) -> Several | None:
    """What the values of a column consist of; None where each is one value."""
    present = facts.present.head(_LOOKED_AT)
    if facts.is_list:
        lists = present.cast(pl.List(pl.String))
        return _several(lists, None, _holder(lists, others, facts.name))
    if facts.numbers is not None or not len(present) or facts.is_moment:
        return None
    for separator in SEPARATORS:
        if _mean(present.str.contains(separator, literal=True)) < _OFTEN:
            continue
        lists = present.str.split(separator)
        pieces = lists.explode().drop_nulls()
        if len(pieces) < _REPEATED * pieces.n_unique() or _mean(pieces.str.len_chars()) > _LONGEST:
            continue
        of = _holder(lists, others, facts.name)
        if of is None and separator in (" ", ","):
            continue  # A title, an address.
        return _several(lists, separator, of)
    return None


def _several(lists: pl.Series, separator: str | None, of: str | None) -> Several:
    lengths = lists.list.len().to_numpy()
    return Several(
        separator=separator,
        of=of,
        length=int(min(MOST_VALUES, max(1, np.quantile(lengths, 0.95)))) if len(lengths) else 1,
        average=float(lengths.mean()) if len(lengths) else 0.0,
        distinct=lists.explode().n_unique(),
    )


def _holder(lists: pl.Series, others: Sequence[Facts], name: str) -> str | None:
    """The column that has most of the single values, and at least half of them."""
    pieces = lists.explode().drop_nulls()
    best, best_share = None, _CONTAINED
    for other in others:
        if other.name == name or other.is_list or other.is_moment:
            continue
        share = _mean(pieces.is_in(other.text.drop_nulls().unique().to_list()))
        if share > best_share or (share == best_share and best is None):
            best, best_share = other.name, share
    return best


def _mean(numbers: pl.Series) -> float:
    return float(numbers.cast(pl.Float64).to_numpy().mean()) if len(numbers) else 0.0
