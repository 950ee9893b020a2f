"""Shuffle any number of rows in bounded memory: sort them by a seeded hash of their number, by way of bucket files."""

from __future__ import annotations

import math
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ctrkit.indexing.hashing import combine_many
from ctrkit.records.workers import Workers

BUCKET_BITS = 6  # 64 bucket files a level,
MOST_BITS = 8  # or as many as 256 where so many rows are expected that buckets of buckets would be needed.
_KINDS = ("keys", "rows")  # Files of a bucket.
_FULL = 1.8  # Times the memory that a bucket may have; from 2 on it is cut into buckets of its own.
_WAITING = 2  # Arrays of rows that may wait for the worker: so many are in memory besides.


class _Bucketed(NamedTuple):
    """Some rows by bucket, in each bucket by number."""

    keys: np.ndarray  # uint64 [n].
    rows: np.ndarray  # int32 [n, words].
    ends: np.ndarray  # int64 [buckets]: where each bucket ends.

    def of(self, bucket: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and rows of one bucket."""
        here = slice(self.ends[bucket - 1] if bucket else 0, self.ends[bucket])
        return self.keys[here], self.rows[here]


def shuffle_keys(seed: int, first: int, rows: int) -> np.ndarray:
    """uint64 `[rows]`, distinct: by these the rows numbered from `first` on are ordered."""
    numbers = np.arange(first, first + rows, dtype=np.uint64)
    return combine_many([np.full(rows, seed % 2**64, dtype=np.uint64), numbers])


class HashOrder:
    """Rows go in numbered 0, 1, 2, … and come out ordered by `hash(seed, number)`.

    The order depends on the seed and the number of each row alone: not on how the rows were cut into chunks, on the
    buckets or on memory. Every permutation is about equally likely, as the hashes are (SplitMix64) distinct 64-bit
    numbers. The work is done on the one thread of `workers`, while the caller makes or takes other rows.
    """

    def __init__(
        self,
        directory: Path,
        words: int,
        workers: Workers,
        *,
        seed: int,
        memory: int = 1 << 25,
        rows: int = 0,
        above: tuple[int, int] = (0, 0),
    ) -> None:
        """`rows` are those expected, of `words` 32-bit words; `above` are the level and the bits of the hash above."""
        self._directory, self._words, self._workers = directory, words, workers
        self._seed, self._memory, (self._level, self._above) = seed, memory, above
        wanted = rows * 4 * (2 + words) / (_FULL * memory)  # Buckets.
        self._bits = max(BUCKET_BITS, min(MOST_BITS, math.ceil(math.log2(max(1.0, wanted)))))
        self._next = 0  # Number of the next row.
        self._running: deque[Future[None]] = deque()
        self._pending: list[_Bucketed] = []
        self._pending_bytes = 0
        self._spilled: dict[int, int] = {}  # Bucket -> rows in its files.

    def write(self, packed: np.ndarray) -> None:
        """Append packed rows `int32 [n, words]`. What goes wrong is raised by a later call."""
        step = max(1, self._memory // (4 * (2 + self._words)))  # Rows.
        for at in range(0, len(packed), step):
            rows = packed[at : at + step]
            first, self._next = self._next, self._next + len(rows)
            self._submit(self._add_numbered, first, rows)

    def _submit(self, work: Callable[..., None], *arguments: object) -> None:
        self._running.append(self._workers.submit(work, *arguments))
        self._wait(_WAITING)

    def _wait(self, left: int) -> None:
        while len(self._running) > left:
            self._running.popleft().result()

    def _add_numbered(self, first: int, rows: np.ndarray) -> None:
        self._add(shuffle_keys(self._seed, first, len(rows)), rows)

    def _add_read(self, above: HashOrder, bucket: int, first: int, count: int) -> None:
        self._add(*above._read(bucket, first, count))

    def _add(self, keys: np.ndarray, rows: np.ndarray) -> None:
        shift = np.uint64(64 - self._above - self._bits)
        buckets = (keys >> shift).astype(np.uint8) & np.uint8(2**self._bits - 1)
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=2**self._bits))
        self._pending.append(_Bucketed(keys[order], rows[order], ends))
        self._pending_bytes += keys.nbytes + rows.nbytes
        if self._pending_bytes >= self._memory:
            self._spill()

    def _spill(self) -> None:
        self._directory.mkdir(exist_ok=True)
        for bucket in range(2**self._bits):
            parts = [pending.of(bucket) for pending in self._pending]
            count = sum(len(keys) for keys, _ in parts)
            if count:
                for kind, arrays in zip(_KINDS, zip(*parts, strict=True), strict=True):
                    with open(self._file(bucket, kind), "ab", buffering=0) as file:
                        for array in arrays:
                            write_whole(file, array)
                self._spilled[bucket] = self._spilled.get(bucket, 0) + count
        self._pending, self._pending_bytes = [], 0

    def _file(self, bucket: int, kind: str) -> Path:
        return self._directory / f"bucket-{self._level}-{bucket:03d}-{kind}"

    def drain(self) -> Iterator[np.ndarray]:
        """Yield all rows in their final order as packed arrays; the bucket files are deleted on the way."""
        self._wait(0)
        if not self._spilled:
            if self._pending:
                keys, rows, _ = map(np.concatenate, zip(*self._pending, strict=True))
                yield rows[np.argsort(keys)]
            self._pending = []
            return
        if self._pending:
            self._spill()
        buckets = sorted(self._spilled)
        for bucket, packed in zip(buckets, self._workers.map(self._whole, buckets), strict=True):
            if packed is not None:
                yield packed
            else:
                yield from self._parts(bucket)
        if self._level == 0:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _whole(self, bucket: int) -> np.ndarray | None:
        """The sorted rows of a bucket, None when they are too many for memory."""
        deepest = self._above + self._bits + BUCKET_BITS > 64
        if self._spilled[bucket] * 4 * (2 + self._words) > 2 * self._memory and not deepest:
            return None
        keys, rows = self._read(bucket, 0, self._spilled[bucket])
        self._remove(bucket)
        return rows[np.argsort(keys)]

    def _read(self, bucket: int, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        keys = np.fromfile(self._file(bucket, "keys"), "<u8", count, offset=8 * first)
        words = self._words
        rows = np.fromfile(self._file(bucket, "rows"), "<i4", count * words, offset=4 * words * first)
        return keys, rows.reshape(-1, words)

    def _remove(self, bucket: int) -> None:
        for kind in _KINDS:
            self._file(bucket, kind).unlink()

    def _parts(self, bucket: int) -> Iterator[np.ndarray]:
        """The sorted rows of a bucket, by way of buckets of its own."""
        below = HashOrder(
            self._directory,
            self._words,
            self._workers,
            seed=self._seed,
            memory=self._memory,
            above=(self._level + 1, self._above + self._bits),
        )
        step = max(1, self._memory // (4 * (2 + self._words)))  # Rows.
        for first in range(0, self._spilled[bucket], step):
            below._submit(below._add_read, self, bucket, first, step)
        yield from below.drain()
        self._remove(bucket)


def write_whole(file: IO[bytes], array: np.ndarray) -> None:
    """Write all bytes of a contiguous array to an unbuffered file, which may take fewer at a time."""
    data = array.data.cast("B") if array.size else b""
    written = 0
    while written < len(data):
        written += file.write(data[written:])
