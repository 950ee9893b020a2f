"""Find byte strings by a hash table of numpy arrays: built at once, mapped from a file, a microsecond a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EMPTY = -1
LONG = 64  # Bytes; the few longer values are hashed one by one.
MIX = 0x9E3779B1  # 2^32 / golden ratio: spreads what the division left regular over the upper bits.
MASK = (1 << 32) - 1
_FIRST_BYTES = np.array([2 ** (8 * kept) - 1 for kept in range(5)], dtype=np.uint64)  # Little-endian words.


@dataclass(frozen=True)
class Slots:
    """Open addressing with linear probing: value `k` is in the first free slot at or after the home of its hash.

    The hash is the value, read as one little-endian number, modulo a prime below 2^31 that depends on all values
    (so that nobody can choose values which collide), and then mixed. A slot holds a rank; the caller compares bytes.
    """

    ranks: np.ndarray  # int32 `[homes + overflow]`; the last is always empty.
    modulus: int
    bits: int  # There are 2^bits homes.

    @classmethod
    def of(cls, blob: np.ndarray, offsets: np.ndarray, seed: int) -> Slots:
        """Place distinct values, `blob[offsets[k]:offsets[k + 1]]`; `seed`, below 2^30, chooses the modulus."""
        count = len(offsets) - 1
        bits = max(3, int(np.ceil(np.log2(max(1, count) * 1.5))))  # Between a third and two thirds full.
        modulus = prime_above(2**30 + seed)
        home = homes(blob, offsets, modulus, bits)
        order = np.argsort(home, kind="stable").astype(np.int32)
        place = home[order].astype(np.int64)
        index = np.arange(count)
        place = index + np.maximum.accumulate(place - index) if count else place  # Each behind the one before it.
        ranks = np.full(max(1 << bits, int(place[-1]) + 1 if count else 0) + 1, EMPTY, dtype=np.int32)
        ranks[place] = order
        return cls(ranks, modulus, bits)

    def home(self, value: bytes) -> int:
        """Where the search for `value` begins."""
        left = int.from_bytes(value, "little") % self.modulus
        return ((left ^ left >> 15) * MIX & MASK) >> 32 - self.bits


def homes(blob: np.ndarray, offsets: np.ndarray, modulus: int, bits: int) -> np.ndarray:
    """`Slots.home` of many values: uint32 `[values]`."""
    starts, lengths = np.asarray(offsets[:-1], dtype=np.int64), np.diff(offsets).astype(np.int64)
    padded = np.concatenate([blob, np.zeros(4, dtype=np.uint8)])
    words: np.ndarray = np.ndarray(shape=(len(padded) - 3,), dtype="<u4", buffer=padded, strides=(1,))
    total = np.zeros(len(starts), dtype=np.uint64)
    shortened = np.minimum(lengths, LONG)
    for depth in range(0, int(shortened.max(initial=0)), 4):
        open_ = np.flatnonzero(shortened > depth)
        word = words[starts[open_] + depth] & _FIRST_BYTES[np.minimum(shortened[open_] - depth, 4)]
        total[open_] += word * np.uint64(pow(2, 8 * depth, modulus)) % np.uint64(modulus)
    for k in np.flatnonzero(lengths > LONG).tolist():
        value = blob[starts[k] : starts[k] + lengths[k]].tobytes()
        total[k] = int.from_bytes(value, "little") % modulus
    left = total % np.uint64(modulus)
    mixed = (left ^ left >> np.uint64(15)) * np.uint64(MIX) & np.uint64(MASK)
    return (mixed >> np.uint64(32 - bits)).astype(np.uint32)


def prime_above(start: int) -> int:
    """The first odd number from `start` on that passes Fermat's test for 2; a rare pseudoprime does no harm."""
    number = start | 1
    while pow(2, number - 1, number) != 1:
        number += 2
    return number
