"""Count a feature's values in bounded memory: all of them while they are few, a fair sample when they are many."""

from __future__ import annotations

import numpy as np

CELLS = 8  # Of a value: (window, half, label), each 0 or 1.
_HEAVY = 4_096  # Most frequent values that stay when others are dropped.


class CountedValues:
    """Rows of each value by window, half and label, and the first period that had it.

    Beyond `most` values those whose hash ends in more and more zero bits are kept (Gibbons, "Distinct Sampling", VLDB
    2001), and the heaviest, whose counts stay exact.
    """

    def __init__(self, most: int) -> None:
        self._most, self._level = most, 0
        self.hashes = np.empty(0, dtype=np.uint64)  # Sorted.
        self.cells = np.empty((0, CELLS), dtype=np.int64)
        self.first = np.empty(0, dtype=np.int32)

    def add(self, hashes: np.ndarray, cells: np.ndarray, first: np.ndarray) -> None:
        """Count distinct values of a chunk: uint64 `[n]`, int `[n, CELLS]`, and the first period of each, int `[n]`."""
        order = np.argsort(hashes)
        hashes, cells, first = hashes[order], cells[order], first[order]
        place, known = self.find(hashes)
        self.cells[place[known]] += cells[known]
        self.first[place[known]] = np.minimum(self.first[place[known]], first[known])
        new = ~known & self._is_sampled(hashes)
        if new.any():
            at = place[new]
            self.hashes = np.insert(self.hashes, at, hashes[new])
            self.cells = np.insert(self.cells, at, cells[new], axis=0)
            self.first = np.insert(self.first, at, first[new])
        while len(self.hashes) > self._most:
            self._drop()

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each hash is or would be, and whether it is there."""
        place = np.searchsorted(self.hashes, hashes)
        known = np.zeros(len(hashes), dtype=bool)
        inside = place < len(self.hashes)
        known[inside] = self.hashes[place[inside]] == hashes[inside]
        return place, known

    @property
    def is_sample(self) -> bool:
        return self._level > 0

    def distinct(self, within: np.ndarray | None = None) -> float:
        """How many distinct values there were, or of those that `within` (bool, one for each kept) marks."""
        sampled = self._is_sampled(self.hashes)
        return float((sampled if within is None else sampled & within).sum()) * 2.0**self._level

    def _is_sampled(self, hashes: np.ndarray) -> np.ndarray:
        mask = np.uint64((1 << self._level) - 1)
        return (hashes & mask) == 0

    def _drop(self) -> None:
        self._level += 1
        rows = self.cells.sum(axis=1)
        kept = self._is_sampled(self.hashes)
        heavy = min(_HEAVY, self._most // 4)
        kept[np.argpartition(-rows, heavy)[:heavy]] = True
        self.hashes, self.cells, self.first = self.hashes[kept], self.cells[kept], self.first[kept]


class DistinctRows:
    """How many of the rows are equal to another one, from a sample of the distinct ones."""

    def __init__(self, most: int = 1 << 20) -> None:
        self._values = CountedValues(most)

    def add(self, hashes: np.ndarray) -> None:
        """Count rows by their hash, uint64 `[rows]`."""
        distinct, counts = np.unique(hashes, return_counts=True)
        kept = self._values._is_sampled(distinct)
        distinct, counts = distinct[kept], counts[kept]
        cells = np.zeros((len(distinct), CELLS), dtype=np.int64)
        cells[:, 0] = counts
        self._values.add(distinct, cells, np.zeros(len(distinct), dtype=np.int32))

    def duplicates(self) -> float:
        """Share of the rows that repeat an earlier one."""
        sampled = self._values._is_sampled(self._values.hashes)
        rows = int(self._values.cells[sampled].sum())
        return 1 - int(sampled.sum()) / rows if rows else 0.0
