"""Strings of at most 8 bytes as 64-bit words, which are told apart faster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctrkit.indexing.build import bytes_of

LONGEST = 8  # Bytes of a string.
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
    spelled = words.astype("<u8", copy=False).view(np.uint8)
    offsets = np.zeros(len(words) + 1, dtype=np.int32)
    np.cumsum(np.searchsorted(FIRST_BYTES, words), out=offsets[1:])  # The lengths.
    valid = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(spelled[spelled != 0])]
    return pa.Array.from_buffers(pa.string(), len(words), buffers)


def encode_words(words: np.ndarray) -> pa.DictionaryArray:
    """Codes of distinct words, in the order of first appearance."""
    return pa.Array.from_buffers(pa.uint64(), len(words), [None, pa.py_buffer(words)]).dictionary_encode()


def unified(parts: Sequence[pa.StringArray]) -> tuple[pa.StringArray, list[np.ndarray]]:
    """The distinct strings of all arrays, and for each array the place of its strings among them, int32.

    The arrays have no nulls.
    """
    words = [words_of(part) for part in parts]
    short = [word for word in words if word is not None]
    if len(short) == len(parts):
        encoded = encode_words(np.concatenate([np.empty(0, dtype=np.uint64), *short]))
        ends = np.cumsum([len(part) for part in parts])
        return strings_of(encoded.dictionary.to_numpy()), np.split(encoded.indices.to_numpy(), ends[:-1])
    encoded = pa.chunked_array(parts, type=pa.string()).dictionary_encode()
    filled = iter(encoded.chunks)  # Arrow leaves out the empty ones.
    places = [next(filled).indices.to_numpy() if len(part) else np.empty(0, dtype=np.int32) for part in parts]
    return encoded.chunk(0).dictionary, places
