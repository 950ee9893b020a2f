"""Decide which rows are for training, validation and test, before anything is learned from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ctrkit.errors import ConfigError, LogError, did_you_mean
from ctrkit.indexing.hashing import combine_many

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
_WAYS = ("random", "time", "order")
_SALT = 0x5B117  # Keeps the random split apart from the shuffle, which hashes the same seed and row numbers.

PartOf: TypeAlias = Callable[[int, int, np.ndarray | None], np.ndarray]
"""`(first row, rows, their times or None) -> uint8 [rows]`, each the place of its part in `PARTS`."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a log is cut into training, validation and test part.

    `random` draws each row by a seeded hash of its number. `time` gives the last rows by the schema's time column to
    the test part and those before them to validation; rows of one time stay together, so a part may be larger than
    asked. `order` does so by the order of the log's lines. With `within`, every group (such as a user) is cut by
    itself: its last rows are for test; memory then grows by about 50 bytes a row.
    """

    by: Literal["random", "time", "order"] = "random"
    validation: float = 0.1  # Share of all rows.
    test: float = 0.1  # Share of all rows.
    within: str | None = None  # Column of the groups to cut one by one.
    seed: int = 0  # Of the random split.

    def __post_init__(self) -> None:
        if self.by not in _WAYS:
            raise ConfigError(f"split.by: unknown way {self.by!r}.{did_you_mean(self.by, _WAYS)}")
        for name in ("validation", "test"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
                raise ConfigError(f"split.{name}: got {share!r}, expected a share of the rows in [0, 1), e.g. 0.1.")
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"split: validation {self.validation} and test {self.test} leave nothing to train on; "
                "their sum must be below 1."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"split.seed: got {self.seed!r}, expected an integer.")

    def cuts(self, rows: int) -> tuple[int, int]:
        """Of so many ordered rows, where validation and where test begins."""
        test = rows - int(rows * self.test + 0.5)
        return min(test, rows - int(rows * (self.validation + self.test) + 0.5)), test

    def random(self) -> PartOf:
        """Each row by a hash of its number."""

        def part_of(first: int, rows: int, times: np.ndarray | None) -> np.ndarray:
            draw = self.draws(first, rows)
            return np.select([draw < self.test, draw < self.test + self.validation], [TEST, VALIDATION], TRAIN).astype(
                "u1"
            )

        return part_of

    def draws(self, first: int, rows: int) -> np.ndarray:
        """Uniform float64 in `[0, 1)` for each row number."""
        constants = [np.full(rows, value % 2**64, dtype=np.uint64) for value in (self.seed, _SALT)]
        hashes = combine_many([*constants, np.arange(first, first + rows, dtype=np.uint64)])
        return (hashes >> np.uint64(11)) / 2.0**53

    def by_order(self, rows: int) -> PartOf:
        """The last rows of the log."""
        validation, test = self.cuts(rows)

        def part_of(first: int, count: int, times: np.ndarray | None) -> np.ndarray:
            number = np.arange(first, first + count)
            return ((number >= validation).astype("u1") + (number >= test)).astype("u1")

        return part_of

    def by_time(self, times: np.ndarray, counts: np.ndarray) -> PartOf:
        """The last rows by time. `times` are distinct and increasing, `counts` their rows."""
        upto = np.cumsum(counts)
        validation, test = (
            times[np.searchsorted(upto, place, side="right")] if place < upto[-1] else np.inf
            for place in self.cuts(int(upto[-1]))
        )

        def part_of(first: int, count: int, row_times: np.ndarray | None) -> np.ndarray:
            assert row_times is not None
            return ((row_times >= validation).astype("u1") + (row_times >= test)).astype("u1")

        return part_of

    def within_groups(self, groups: np.ndarray, times: np.ndarray | None) -> PartOf:
        """Each group's last rows: by time, by order, or drawn at random. `groups` is int64 `[rows of the log]`."""
        rows = len(groups)
        if times is None:
            times = self.draws(0, rows) if self.by == "random" else np.arange(rows, dtype=np.float64)
        order = np.lexsort((times, groups))
        sorted_groups, sorted_times = groups[order], times[order]
        starts = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
        sizes = np.diff(np.r_[starts, rows])
        ties = np.r_[True, (sorted_groups[1:] != sorted_groups[:-1]) | (sorted_times[1:] != sorted_times[:-1])]
        first_of_tie = np.maximum.accumulate(np.where(ties, np.arange(rows), 0))
        part = np.zeros(rows, dtype="u1")
        for share in (self.validation + self.test, self.test):
            cut = starts + sizes - (sizes * share + 0.5).astype(np.int64)
            within = cut < starts + sizes
            cut[within] = first_of_tie[cut[within]]
            part[order] += np.arange(rows) >= np.repeat(cut, sizes)

        def part_of(first: int, count: int, row_times: np.ndarray | None) -> np.ndarray:
            return part[first : first + count]

        return part_of

    def check(self, rows: tuple[int, int, int], *, ties: bool) -> None:
        """Raise `LogError` when a part that was asked for came out empty. `rows` are those of each of `PARTS`."""
        for part, count, share in zip(PARTS, rows, (1.0, self.validation, self.test), strict=True):
            if share > 0 and count == 0:
                why = "too many rows share one time" if ties else f"the log has {sum(rows):,} rows"
                found = ", ".join(f"{name} {n:,}" for name, n in zip(PARTS, rows, strict=True))
                raise LogError(
                    f"The {part} part got no rows ({found}): "
                    f"{why}. Give more rows, or other shares: "
                    + (
                        "smaller split.validation and split.test."
                        if part == "train"
                        else f"split.{part}=0 leaves it out."
                    )
                )
