"""Strings of at most 8 bytes as 64-bit words, which are told apart faster."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from ctrkit.indexing.build import bytes_of

LONGEST = 8  # Bytes of a string.
_MANY = 1_000_000  # Words beyond which memory counts more than time.
_SORTED_BITS = 22  # Four million words are sorted at once.
_MIX = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: an odd number, its upper bits are mixed.
_AT_ONCE = 1 << 16  # Words spelled together, so that what is only needed meanwhile stays small.
FIRST_BYTES = np.array([2 ** (8 * kept) - 1 for kept in range(LONGEST + 1)], dtype=np.uint64)


def words_from_each(raw: np.ndarray) -> np.ndarray:
    """Of uint8 `[n]` the 8 bytes from each byte on, zeros after the end: uint64 `[n + 1]`."""
    padded = np.concatenate([raw, np.zeros(LONGEST, dtype=np.uint8)])
    return np.ndarray(shape=(len(raw) + 1,), dtype="<u8", buffer=padded, strides=(1,))


def words_of(strings: pa.StringArray) -> np.ndarray | None:
    """The bytes of each string, padded with zeros; None when one is longer or holds a byte 0, which looks like padding.

    `strings` has no nulls.
    """
    raw, offsets = bytes_of(strings)
    lengths = np.diff(offsets)
    if lengths.max(initial=0) > LONGEST or not raw.all():
        return None
    return words_from_each(raw)[offsets[:-1]] & FIRST_BYTES[lengths]


def strings_of(words: np.ndarray, present: np.ndarray | None = None) -> pa.StringArray:
    """The strings that words were made of, null where not `present`."""
    slices = [slice(at, at + _AT_ONCE) for at in range(0, len(words), _AT_ONCE)]
    offsets = np.zeros(len(words) + 1, dtype=np.int32)
    lengths = offsets[1:]
    for some in slices:
        lengths[some] = np.searchsorted(FIRST_BYTES, words[some])
    np.cumsum(lengths, out=lengths)
    spelled = np.empty(offsets[-1], dtype=np.uint8)
    for some in slices:
        letters = words[some].astype("<u8", copy=False).view(np.uint8)
        spelled[offsets[some.start] : offsets[min(some.stop, len(words))]] = letters[letters != 0]
    valid = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(spelled)]
    return pa.Array.from_buffers(pa.string(), len(words), buffers)


def encode_words(words: np.ndarray) -> pa.DictionaryArray:
    """Codes of distinct words, in the order of first appearance."""
    return _array(words).dictionary_encode()


def unified(parts: Iterable[pa.StringArray]) -> tuple[pa.StringArray, list[np.ndarray]]:
    """The distinct strings of all arrays, and for each array the place of its strings among them, int32.

    The arrays have no nulls. Short strings are held as words alone, so give the arrays one by one.
    """
    words: list[np.ndarray] = []
    rest = iter(parts)
    for part in rest:
        short = words_of(part)
        if short is None:
            return _unified([*(strings_of(each) for each in words), part, *rest])
        words.append(short)
    if sum(map(len, words)) > _MANY:
        return _sorted(words)
    values, places = _unified([_array(each) for each in words])
    words.clear()  # Some megabytes, while the rest takes as many.
    return strings_of(values.to_numpy()), places


def _sorted(words: list[np.ndarray]) -> tuple[pa.StringArray, list[np.ndarray]]:
    """Sorting takes longer than a hash table, and half of its memory; `words` is emptied.

    It is done share by share, a word belonging to one by its hash, so that what it takes does not grow with the words.
    """
    ends = np.cumsum([len(each) for each in words])
    joined = np.empty(int(ends[-1]), dtype=np.uint64)
    while words:  # One by one, so that they are not in memory twice.
        last = words.pop()
        joined[ends[len(words)] - len(last) : ends[len(words)]] = last
    bits = max(0, int(len(joined) - 1).bit_length() - _SORTED_BITS)
    share = ((joined * _MIX) >> np.uint64(64 - bits)).astype(np.uint16) if bits else np.zeros(1, dtype=np.uint16)
    places = np.empty(len(joined), dtype=np.int32)
    values: list[np.ndarray] = []
    known = 0
    for number in range(2**bits):
        at = np.flatnonzero(share == number) if bits else np.arange(len(joined))
        here = joined[at]
        order = np.argsort(here)
        here = here[order]
        begins = np.ones(len(here), dtype=bool)
        np.not_equal(here[1:], here[:-1], out=begins[1:])
        places[at[order]] = np.cumsum(begins, dtype=np.int32) + (known - 1)
        values.append(here[begins])
        known += len(values[-1])
    del joined, share
    return strings_of(np.concatenate(values)), np.split(places, ends[:-1])


def _unified(parts: list[pa.Array]) -> tuple[pa.Array, list[np.ndarray]]:
    encoded = pa.chunked_array(parts, type=parts[0].type if parts else pa.uint64()).dictionary_encode()
    filled = iter(encoded.chunks)  # Arrow leaves out the empty ones.
    places = [next(filled).indices.to_numpy() if len(part) else np.empty(0, dtype=np.int32) for part in parts]
    return encoded.chunk(0).dictionary if len(encoded) else pa.array([], encoded.type.value_type), places


def _array(words: np.ndarray) -> pa.UInt64Array:
    """The same memory as Arrow sees it."""
    return pa.Array.from_buffers(pa.uint64(), len(words), [None, pa.py_buffer(words)])
