"""Which shard each row goes to, so that executors write the very shards that one machine alone writes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrkit.records.shuffle import shuffle_keys
from ctrkit.records.writer import WriterOptions

_AT_ONCE = 1 << 22  # Row numbers whose keys are made together: 100 MB.
_BITS = 20  # A row's shuffle key falls into one of 2^20 cells.


@dataclass(frozen=True)
class PartPlan:
    """The shards of one part of the log."""

    rows: int
    first: int  # Number of its first shard among the shards of all parts.
    bounds: np.ndarray  # uint64 [shards - 1]: the key of the first row of each shard but the first.
    options: WriterOptions

    @property
    def shards(self) -> int:
        return len(self.bounds) + 1

    def rows_of(self, shard: int) -> int:
        """How many rows shard `shard` of this part has."""
        return min(self.options.shard_rows, self.rows - shard * self.options.shard_rows)

    def keys(self, first: int, rows: int) -> np.ndarray:
        """By what the rows of this part, from row `first` on, are ordered: uint64 `[rows]`, distinct."""
        if self.options.shuffle:
            return shuffle_keys(self.options.seed, first, rows)
        return np.arange(first, first + rows, dtype=np.uint64)

    def shard_of(self, keys: np.ndarray) -> np.ndarray:
        """The number, among the shards of all parts, of each key's shard: int64 `[rows]`."""
        return self.first + np.searchsorted(self.bounds, keys, side="right")


def plan(rows: int, first: int, options: WriterOptions) -> PartPlan:
    """The plan for a part of so many rows, whose first shard has number `first`."""
    starts = np.arange(options.shard_rows, rows, options.shard_rows, dtype=np.int64)
    bounds = _keys_at(starts, rows, options.seed) if options.shuffle else starts.astype(np.uint64)
    return PartPlan(rows, first, bounds, options)


def _keys_at(places: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """The shuffle keys at some places of the sorted keys of all rows, in memory that does not grow with the rows.

    Keys are counted by cell; then those of the cells that hold a place are sorted.
    """
    if not len(places):
        return np.empty(0, dtype=np.uint64)
    shift = np.uint64(64 - _BITS)
    cells = np.zeros(2**_BITS, dtype=np.int64)
    for at in range(0, rows, _AT_ONCE):
        keys = shuffle_keys(seed, at, min(_AT_ONCE, rows - at))
        cells += np.bincount((keys >> shift).astype(np.int64), minlength=2**_BITS)
    upto = np.cumsum(cells)
    wanted = np.unique(np.searchsorted(upto, places, side="right"))
    is_wanted = np.zeros(2**_BITS, dtype=bool)
    is_wanted[wanted] = True
    kept = []
    for at in range(0, rows, _AT_ONCE):
        keys = shuffle_keys(seed, at, min(_AT_ONCE, rows - at))
        kept.append(keys[is_wanted[keys >> shift]])
    found = np.sort(np.concatenate(kept))
    before = np.cumsum(np.where(is_wanted, 0, cells))  # Keys that were left out, up to each cell.
    return found[places - before[np.searchsorted(upto, places, side="right")]]
