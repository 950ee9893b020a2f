"""How often a batch reads each row of a table: what a parameter server has to send and to take back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

CHUNK_ROWS = 1 << 20  # Of a memory-mapped array of counts at a time: 8 MB.
ID_BYTES = 4  # Of a distinct row, int32: with the request for it, and again with its gradient.
VALUE_BYTES = 4  # float32.


@dataclass(frozen=True, kw_only=True)
class RowReads:
    """Expected reads of each row of a table by one batch, as runs of neighbouring rows that are read equally often.

    Rows lie by descending count, and counts are whole numbers: a table of tens of millions of rows has a few
    thousand runs.
    """

    rows: int
    starts: np.ndarray  # int64 [runs], increasing, from 0: the first row of each run.
    expected: np.ndarray  # float64 [runs]: reads of each row of the run by one batch.

    @property
    def total(self) -> float:
        """Expected reads of all rows."""
        return float(self.lengths @ self.expected)

    @property
    def lengths(self) -> np.ndarray:
        """`int64 [runs]`: rows of each run."""
        return np.diff(self.starts, append=self.rows)

    def by_part(self, parts: int) -> np.ndarray:
        """`float64 [parts]`: expected reads of the rows `r` with `r % parts == j`, for each part `j`."""
        whole, left = np.divmod(self.lengths, parts)
        first = self.starts % parts
        change = np.zeros(2 * parts + 1)  # Of reads from part to part, twice around, for the rows that are left over.
        np.add.at(change, first, self.expected)
        np.add.at(change, first + left, -self.expected)
        around = np.cumsum(change)[: 2 * parts]
        return float(whole @ self.expected) + around[:parts] + around[parts:]


def uniform_reads(rows: int, draws: float) -> RowReads:
    """Of a table all of whose rows are as likely as one another, drawn `draws` times a batch."""
    share = np.array([1.0 / max(rows, 1)])
    return RowReads(rows=rows, starts=np.zeros(1, dtype=np.int64), expected=distinct_reads(share, draws))


def counted_reads(first: np.ndarray, counts: np.ndarray, *, impressions: float, draws: float) -> RowReads:
    """Of a table whose rows were counted.

    Args:
        first: counts of the rows before the known values (missing, out of vocabulary), `[n]`.
        counts: of the known values, in row order; may be memory-mapped.
        impressions: that were counted.
        draws: values that a batch looks up.
    """
    pieces = [runs_of(np.asarray(first, dtype=np.float64), 0)]
    for begin in range(0, len(counts), CHUNK_ROWS):
        chunk = np.asarray(counts[begin : begin + CHUNK_ROWS], dtype=np.float64)
        pieces.append(runs_of(chunk, len(first) + begin))
    starts, values = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    shares = np.minimum(values / max(impressions, 1.0), 1.0)
    return RowReads(rows=len(first) + len(counts), starts=starts, expected=distinct_reads(shares, draws))


def one_after_another(tables: Iterable[RowReads]) -> RowReads:
    """The reads of a fused table, in which the rows of `tables` follow one another."""
    starts, expected, rows = [], [], 0
    for table in tables:
        starts.append(table.starts + rows)
        expected.append(table.expected)
        rows += table.rows
    return RowReads(rows=rows, starts=np.concatenate(starts), expected=np.concatenate(expected))


def distinct_reads(shares: np.ndarray, draws: float) -> np.ndarray:
    """Chance that a row is among `draws` values, `1 - (1 - share) ** draws`: a batch reads each of its rows once."""
    with np.errstate(divide="ignore"):  # A share of one: the row is in every batch.
        return -np.expm1(draws * np.log1p(-shares))


def runs_of(values: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of equal neighbours begin, counted from `offset`, and their values."""
    begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.empty(0, int)
    return begins + offset, values[begins]
