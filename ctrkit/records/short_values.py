"""Cut plain text into columns of values of at most 8 bytes; as 64-bit words they are told apart faster."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from ctrkit.records.words import FIRST_BYTES, LONGEST, encode_words, strings_of, words_from_each

_CUT_AT_ONCE = 1 << 19  # Bytes, so that what is computed of them stays in the cache.
_LINE_END = ord("\n")


def short_columns(
    data: memoryview, names: Sequence[str], wanted: Sequence[str], *, separator: str, missing: Collection[str]
) -> dict[str, pa.DictionaryArray]:
    """Those of the wanted columns that have no longer values, as codes of distinct strings, null where missing.

    Nothing is returned for text that is not plain (bytes 0, carriage returns, blank or ragged lines, a last line
    without an end, bytes that are not UTF-8): a general parser shall read it, or say what is wrong with it. There must
    be no quotes that mean something.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    if len(names) < 2 or not len(raw) or raw[-1] != _LINE_END or not _is_utf8(data):
        return {}
    places = [names.index(name) for name in wanted]
    words = np.empty((len(names), np.count_nonzero(raw == _LINE_END)), dtype=np.uint64)
    longest = np.zeros(len(names), dtype=np.int64)
    row = start = 0
    while start < len(raw):
        stop = _end_of_lines(raw, start)
        cut = _cut(raw[start:stop], ord(separator), len(names), longest)
        if cut is None:
            return {}
        words[:, row : row + len(cut)] = cut.T
        row, start = row + len(cut), stop
    return {name: _coded(words[k], missing) for name, k in zip(wanted, places, strict=True) if longest[k] <= LONGEST}


def _is_utf8(data: memoryview) -> bool:
    """Whether all of the text is; then each value is, as values end at ASCII bytes."""
    offsets = np.array([0, len(data)], dtype=np.int64)
    whole = pa.Array.from_buffers(pa.large_string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _end_of_lines(raw: np.ndarray, start: int) -> int:
    """Where the last line ends that does so within `_CUT_AT_ONCE` bytes; with a longer line, where all end."""
    if len(raw) - start <= _CUT_AT_ONCE:
        return len(raw)
    last = raw[start : start + _CUT_AT_ONCE].tobytes().rfind(b"\n")
    return start + last + 1 if last >= 0 else len(raw)


def _cut(raw: np.ndarray, separator: int, columns: int, longest: np.ndarray) -> np.ndarray | None:
    """The values as uint64 `[rows, columns]`, padded with zeros; None when the text is not plain.

    `longest` is raised to the length of each column's longest value; of longer ones the first bytes are returned.
    """
    at_line = raw == _LINE_END
    ends = np.flatnonzero(at_line | (raw == separator))
    rows = np.count_nonzero(at_line)
    if len(ends) != columns * rows or not at_line[ends[columns - 1 :: columns]].all():
        return None
    if not raw.all() or (raw == ord("\r")).any():
        return None
    starts = np.empty_like(ends)
    starts[0] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    lengths = ends - starts
    np.maximum(longest, lengths.reshape(rows, columns).max(axis=0), out=longest)
    found = words_from_each(raw)[starts]
    found &= FIRST_BYTES.take(lengths, mode="clip")
    return found.reshape(rows, columns)


def _coded(words: np.ndarray, missing: Collection[str]) -> pa.DictionaryArray:
    column = encode_words(words)
    distinct = column.dictionary.to_numpy()
    absent = np.isin(distinct, [_word(value) for value in missing if len(value.encode()) <= LONGEST])
    return pa.DictionaryArray.from_arrays(column.indices, strings_of(distinct, ~absent), safe=False)


def _word(value: str) -> np.uint64:
    return np.uint64(int.from_bytes(value.encode(), "little"))
