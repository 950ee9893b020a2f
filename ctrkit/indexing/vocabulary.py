"""One feature's known values in row order: a single memory-mapped file, opened in constant time."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ctrkit.atomic import atomic_file
from ctrkit.errors import ArtifactError
from ctrkit.indexing.slots import EMPTY, MASK, MIX, Slots, homes

MAGIC = b"CTRVOCB2"
OLD_MAGIC = b"CTRVOCB1"  # Had an order by value where there is a hash table now.
ONE_READ = 1 << 22  # Bytes; also the number of values that are looked up at once.
_ALIGN = 64
_FIRST_BYTES = np.array([2**64 - 2 ** (64 - 8 * kept) for kept in range(9)], dtype=np.uint64)
_AGAIN = "Build the index again with `ctrkit prepare`."


class Vocabulary:
    """Known values of a feature; value `k` (of `len(self)`) has rank `k`, most frequent first, ties by value.

    The file holds the UTF-8 values one after another, their offsets, a hash table over them and their counts in the
    training part. The hash table follows from the values: it is no part of the digest.
    """

    def __init__(
        self, blob: np.ndarray, offsets: np.ndarray, counts: np.ndarray, *, slots: Slots | None = None, digest: str = ""
    ) -> None:
        """See `of_bytes`; `slots` and `digest` are made when they are first needed."""
        self._blob, self._offsets, self.counts = blob, offsets, counts
        if slots is not None:
            self.__dict__["slots"] = slots
        self._digest = digest

    @classmethod
    def of(cls, values: Sequence[str], counts: Sequence[int] | np.ndarray) -> Vocabulary:
        """Build from distinct `values` in rank order and their counts."""
        return cls.of_bytes(*encoded(values), counts)

    @classmethod
    def of_bytes(cls, blob: np.ndarray, offsets: np.ndarray, counts: Sequence[int] | np.ndarray) -> Vocabulary:
        """Like `of`, of UTF-8 values one after another: value `k` is `blob[offsets[k]:offsets[k + 1]]`.

        `blob` is uint8 `[bytes]`, `offsets` int64 `[values + 1]`.
        """
        return cls(blob, offsets, np.asarray(counts, dtype=np.int64))

    @property
    def blob(self) -> np.ndarray:
        """The values' UTF-8 bytes in rank order, `uint8 [bytes]`."""
        return self._blob

    @property
    def offsets(self) -> np.ndarray:
        """Where each value begins in `blob`, `int64 [values + 1]`."""
        return self._offsets.astype(np.int64, copy=False)

    @cached_property
    def slots(self) -> Slots:
        """The hash table that finds a value's rank."""
        return Slots.of(self._blob, self._offsets, seed=int(self.digest()[:7], 16))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def value(self, rank: int) -> str:
        """Return the value of `rank`."""
        start, end = int(self._offsets[rank]), int(self._offsets[rank + 1])
        return self._blob[start:end].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        blob, offsets = self._blob.tobytes(), self._offsets.tolist()
        return (blob[a:b].decode() for a, b in pairwise(offsets))

    def rank(self, value: str) -> int:
        """Return the rank of `value`, or -1 when it is unknown."""
        return self.finder(value)

    @cached_property
    def finder(self) -> Callable[[str], int]:
        """`rank` as a bare function: requests look up hundreds of values one by one."""
        # A memoryview hands out one number several times faster than numpy does.
        blob, offsets = np.ascontiguousarray(self._blob).data, np.ascontiguousarray(self._offsets).data
        slots, modulus, shift = np.ascontiguousarray(self.slots.ranks).data, self.slots.modulus, 32 - self.slots.bits

        def find(value: str) -> int:
            wanted = value.encode()
            left = int.from_bytes(wanted, "little") % modulus
            at = ((left ^ left >> 15) * MIX & MASK) >> shift  # `Slots.home`, written out.
            while (rank := slots[at]) != EMPTY:
                if blob[offsets[rank] : offsets[rank + 1]] == wanted:
                    return rank  # type: ignore[no-any-return]
                at += 1
            return EMPTY

        return find

    def ranks(self, values: Sequence[str]) -> np.ndarray:
        """`rank` of many values at once: int32 `[values]`."""
        return self.ranks_of_bytes(*encoded(values))

    def ranks_of_bytes(self, blob: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """`ranks` of UTF-8 values one after another, as `of_bytes` takes them."""
        found = np.full(len(offsets) - 1, EMPTY, dtype=np.int32)
        for start in range(0, len(found), ONE_READ):
            part = slice(start, start + ONE_READ)
            found[part] = self._some_ranks(blob, offsets[start : start + ONE_READ + 1])
        return found

    def _some_ranks(self, blob: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        slots, found = self.slots, np.full(len(offsets) - 1, EMPTY, dtype=np.int32)
        at, searched = homes(blob, offsets, slots.modulus, slots.bits).astype(np.int64), np.arange(len(found))
        while len(searched):
            ranks = slots.ranks[at[searched]]
            searched, ranks = searched[ranks != EMPTY], ranks[ranks != EMPTY]
            same = self._same(ranks, blob, offsets, searched)
            found[searched[same]] = ranks[same]
            searched = searched[~same]
            at[searched] += 1
        return found

    def _same(self, ranks: np.ndarray, blob: np.ndarray, offsets: np.ndarray, searched: np.ndarray) -> np.ndarray:
        """Whether each known value is the one searched for, byte by byte: bool `[ranks]`."""
        known, wanted = self._offsets[ranks].astype(np.int64), np.asarray(offsets)[searched].astype(np.int64)
        lengths = self._offsets[ranks + 1].astype(np.int64) - known
        same = lengths == np.asarray(offsets)[searched + 1] - wanted
        left, depth = np.flatnonzero(same), 0
        while len(left := left[lengths[left] > depth]):
            equal = self._blob[known[left] + depth] == blob[wanted[left] + depth]
            same[left[~equal]] = False
            left, depth = left[equal], depth + 1
        return same

    def digest(self) -> str:
        """SHA-256 over the values in rank order."""
        if not self._digest:
            step = ONE_READ // 8
            pieces = (self._offsets[at : at + step] for at in range(0, len(self._offsets), step))
            self._digest = _digest(pieces, [np.ascontiguousarray(self._blob)])
        return self._digest

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically."""
        narrow = len(self._blob) < 2**32
        offsets = self._offsets.astype("<u4" if narrow else "<i8", copy=False)
        slots = np.ascontiguousarray(self.slots.ranks)
        arrays = {"offsets": offsets, "slots": slots, "blob": self._blob, "counts": self.counts}
        sections, position = {}, 0
        for name, array in arrays.items():
            sections[name] = [array.dtype.str, position, len(array)]
            position += -(-array.nbytes // _ALIGN) * _ALIGN
        description = {
            "sections": sections,
            "bytes": position,
            "digest": self.digest(),
            "modulus": self.slots.modulus,
            "bits": self.slots.bits,
            "slots_crc32": zlib.crc32(slots.data),
        }
        header = json.dumps(description).encode()
        start = -(-(len(MAGIC) + 8 + len(header)) // _ALIGN) * _ALIGN
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            file.write((MAGIC + len(header).to_bytes(8, "little") + header).ljust(start, b"\0"))
            for array in arrays.values():
                file.write(np.ascontiguousarray(array).data)
                file.write(b"\0" * (-array.nbytes % _ALIGN))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = False) -> Vocabulary:
        """Map the file; with `verify` read it through once and compare its digest.

        Raises `ArtifactError` when it is absent, cut short, damaged or of another kind.
        """
        path = Path(path)
        try:
            with open(path, "rb") as file:
                magic = file.read(len(MAGIC))
                if magic not in (MAGIC, OLD_MAGIC):
                    raise ArtifactError(f"{path} is not a vocabulary file. {_AGAIN}")
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length))
                start = -(-(len(MAGIC) + 8 + length) // _ALIGN) * _ALIGN
                if path.stat().st_size != start + header["bytes"]:
                    raise ArtifactError(
                        f"Vocabulary {path} has {path.stat().st_size:,} bytes, expected {start + header['bytes']:,}: "
                        f"it is cut short. {_AGAIN}"
                    )
                if verify and magic == MAGIC:
                    _verify(path, file, start, header)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"Cannot read vocabulary {path}: {error}. {_AGAIN}") from error
        mapped = np.memmap(os.fspath(path), dtype=np.uint8, mode="r")  # Once for all: a schema has hundreds of files.
        parts = {
            name: np.frombuffer(mapped, dtype=dtype, count=count, offset=start + offset)
            if count
            else np.empty(0, dtype=dtype)
            for name, (dtype, offset, count) in header["sections"].items()
        }
        slots = None if magic == OLD_MAGIC else Slots(parts["slots"], header["modulus"], header["bits"])
        return cls(parts["blob"], parts["offsets"], parts["counts"], slots=slots, digest=header.get("digest", ""))


def encoded(values: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of `values` one after another, uint8, and where each begins, int64 `[values + 1]`."""
    joined = "".join(values)
    if joined.isascii():
        lengths, blob = map(len, values), joined.encode()
    else:
        several = [value.encode() for value in values]
        lengths, blob = map(len, several), b"".join(several)
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(lengths, dtype=np.int64, count=len(values)), out=offsets[1:])
    return np.frombuffer(blob, dtype=np.uint8), offsets


def _digest(offsets: Iterable[np.ndarray], blob: Iterable[Any]) -> str:
    sha = hashlib.sha256()
    for piece in offsets:
        sha.update(piece.astype("<i8").data)
    for part in blob:
        sha.update(part)
    return sha.hexdigest()


def _verify(path: Path, file: BinaryIO, start: int, header: dict[str, Any]) -> None:
    """Compare the file's content with its own digests; by reads, as mapped pages would count as this process's."""

    def pieces(name: str) -> Iterator[bytes]:
        dtype, offset, count = header["sections"][name]
        left = count * np.dtype(dtype).itemsize
        file.seek(start + offset)
        while left:
            piece = file.read(min(left, ONE_READ))
            if not piece:
                raise ValueError("it ends early")
            left -= len(piece)
            yield piece

    crc32 = 0
    for piece in pieces("slots"):
        crc32 = zlib.crc32(piece, crc32)
    offsets = (np.frombuffer(piece, dtype=header["sections"]["offsets"][0]) for piece in pieces("offsets"))
    if crc32 != header["slots_crc32"] or _digest(offsets, pieces("blob")) != header["digest"]:
        raise ArtifactError(f"Vocabulary {path} does not hold what was written: it was damaged. {_AGAIN}")


def byte_order(blob: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the order that sorts UTF-8 values by their bytes (which is the order of code points): `int64 [values]`.

    Eight bytes at a time: only values that are equal so far are looked at again.
    """
    starts, lengths = np.asarray(offsets[:-1]), np.diff(offsets)
    padded = np.concatenate([blob, np.zeros(8, dtype=np.uint8)])
    words: np.ndarray = np.ndarray(
        shape=(len(padded) - 7,), dtype=">u8", buffer=padded, strides=(1,)
    )  # The 8 bytes from each place on.
    order = np.arange(len(starts))
    undecided, run, depth = order.copy(), np.zeros(len(order), dtype=np.int64), 0  # Places in `order`; equal so far.
    while len(undecided):
        items = order[undecided]
        left = np.minimum(lengths[items] - depth, 8)
        word = words[starts[items] + depth].astype(np.uint64) & _FIRST_BYTES[left]
        by = np.lexsort((left, word, run))
        order[undecided] = items[by]
        run, word, left = run[by], word[by], left[by]
        new = np.ones(len(by), dtype=bool)
        new[1:] = (run[1:] != run[:-1]) | (word[1:] != word[:-1]) | (left[1:] != left[:-1])
        last = np.append(new[1:], True)
        open_ = ~(new & last) & (left == 8)
        undecided, run, depth = undecided[open_], np.cumsum(new)[open_], depth + 8
    return order
