"""A set of whole numbers kept as sorted, disjoint intervals: millions of neighbours cost one pair."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Intervals:
    """Numbers in half-open intervals `[first, end)`; neighbouring intervals are merged.

    >>> done = Intervals([(0, 4), (4, 6)])
    >>> done.add(8, 9)
    >>> list(done), len(done), 5 in done
    ([(0, 6), (8, 9)], 7, True)
    """

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self._count = 0
        for first, end in intervals:
            self.add(first, end)

    def __len__(self) -> int:
        """How many numbers."""
        return self._count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._ends, strict=True)))

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __repr__(self) -> str:
        return f"Intervals({list(self)})"

    def add(self, first: int, end: int) -> None:
        """Add `[first, end)`."""
        if first < end:
            low, high = bisect_left(self._ends, first), bisect_right(self._firsts, end)  # Those that touch it.
            merged_first = min([first, *self._firsts[low : low + 1]]) if low < high else first
            merged_end = max([end, *self._ends[high - 1 : high]]) if low < high else end
            self._replace(low, high, [(merged_first, merged_end)])

    def remove(self, first: int, end: int) -> None:
        """Take out whatever of `[first, end)` is in the set."""
        if first >= end:
            return
        low, high = bisect_right(self._ends, first), bisect_left(self._firsts, end)  # Those that overlap it.
        if low < high:
            rests = [(self._firsts[low], first), (end, self._ends[high - 1])]
            self._replace(low, high, [rest for rest in rests if rest[0] < rest[1]])

    def take(self, count: int) -> tuple[int, int] | None:
        """Take out and return the lowest interval, or its first `count` numbers; None when the set is empty."""
        if not self._firsts:
            return None
        first = self._firsts[0]
        end = min(self._ends[0], first + count)
        self.remove(first, end)
        return first, end

    def _replace(self, low: int, high: int, intervals: list[tuple[int, int]]) -> None:
        self._count += sum(end - first for first, end in intervals)
        self._count -= sum(self._ends[low:high]) - sum(self._firsts[low:high])
        self._firsts[low:high] = [first for first, _ in intervals]
        self._ends[low:high] = [end for _, end in intervals]
