"""Columns out of serialized `tf.train.Example`s, all rows of a chunk at once: every step takes one field of each row.

Wire format: protocol buffers, as tensorflow/core/example/{example,feature}.proto lay it out. An example is a list of
entries (name, feature), a feature one of three lists. What is written in another of the ways that protocol buffers
allow (numbers one by one, lists in pieces) is put into the usual way first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

BYTES, FLOAT, INT64 = 1, 2, 3  # Numbers of the fields of tf.train.Feature; 0: the row has no such feature.
KINDS = {BYTES: "bytes", FLOAT: "float", INT64: "int64"}
PADDING = 16  # Bytes that must follow the last example, so that reading ahead is safe.
_ENTRY, _KEY, _FEATURE, _LIST = 0x0A, 0x0A, 0x12, 0x0A  # Tags, all of length-delimited fields.
_LONGEST_LENGTH = 5  # Bytes of a length: messages are smaller than 2 GB.
_NO_LENGTH = 1 << 40  # Longer than any message, for a length that cannot be.


class BadExampleError(ValueError):
    """Bytes that are no example, or a feature that cannot be a column; `row` is its place among the given ones."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row


@dataclass
class _Found:
    """Where one feature's list is, row by row."""

    kind: np.ndarray  # uint8 [rows]
    start: np.ndarray  # int64 [rows]; of packed numbers, or of the elements of a list of bytes.
    stop: np.ndarray


@dataclass
class Examples:
    """The serialized examples `buffer[starts[i]:stops[i]]`, with `PADDING` bytes behind the last.

    `names` are the features that any row has, once `find` was called.
    """

    buffer: np.ndarray  # uint8
    starts: np.ndarray  # int64 [rows]
    stops: np.ndarray
    names: set[str] = field(default_factory=set)

    def columns(self, wanted: Sequence[str], lists: Collection[str]) -> dict[str, pa.Array]:
        """The wanted features as columns, null where a row has none (or an empty one); those in `lists` as lists.

        int64, float and large_string. Raises `BadExampleError`, also for a feature of two kinds, of several values
        where one is expected, or of bytes that are not UTF-8.
        """
        found, odd = self._find(wanted)
        if odd.any():
            return self._usual(odd).columns(wanted, lists)
        return {name: _column(self.buffer, name, found[name], name in lists) for name in wanted}

    def _find(self, wanted: Sequence[str]) -> tuple[dict[str, _Found], np.ndarray]:
        """Where each wanted feature is, and which rows are not written in the usual way: bool [rows]."""
        buffer, rows = self.buffer, len(self.starts)
        found = {
            name: _Found(np.zeros(rows, np.uint8), np.zeros(rows, np.int64), np.zeros(rows, np.int64))
            for name in wanted
        }
        odd = np.zeros(rows, dtype=bool)
        row = np.flatnonzero(self.stops > self.starts)  # The rest are examples without features.
        at, stop = _delimited(buffer, self.starts[row], _ENTRY)
        odd[row] = stop != self.stops[row]
        row, at, stop = _kept(~odd[row] & (at < stop), row, at, stop)
        while len(row):
            entry, after = _delimited(buffer, at, _ENTRY)
            key, key_stop = _delimited(buffer, entry, _KEY)
            value, value_stop = _delimited(buffer, np.minimum(key_stop, after), _FEATURE)
            good = (after <= stop) & (key_stop <= after) & (value_stop == after)
            odd[row[~good]] = True
            row, stop, key, key_stop, value, after = _kept(good, row, stop, key, key_stop, value, after)
            kind, first, last, usual = _lists(buffer, value, after)
            odd[row[~usual]] = True
            for name, these in _named(buffer, key, key_stop - key):
                self.names.add(name)
                if name in found:
                    places, one = row[these], found[name]
                    one.kind[places], one.start[places], one.stop[places] = kind[these], first[these], last[these]
            row, at, stop = _kept(usual & (after < stop), row, after, stop)
        return found, odd

    def _usual(self, odd: np.ndarray) -> Examples:
        """The same examples, the odd ones put into the usual form. Raises `BadExampleError` where there is none."""
        from google.protobuf.message import DecodeError
        from tensorflow.core.example.example_pb2 import Example  # Takes seconds: most files do without.

        parts, starts, stops = (
            [self.buffer[: len(self.buffer) - PADDING].tobytes()],
            self.starts.copy(),
            self.stops.copy(),
        )
        end = len(parts[0])
        for row in np.flatnonzero(odd).tolist():
            try:
                example = Example.FromString(self.buffer[starts[row] : stops[row]].tobytes())
            except DecodeError as error:
                raise BadExampleError(row, "its bytes are no tf.train.Example") from error
            example.DiscardUnknownFields()
            parts.append(example.SerializeToString())
            starts[row], stops[row] = end, end + len(parts[-1])
            end = int(stops[row])
        whole = Examples(np.frombuffer(b"".join([*parts, bytes(PADDING)]), dtype=np.uint8), starts, stops, self.names)
        _, still = whole._find([])
        if still.any():
            raise BadExampleError(int(np.argmax(still)), "its bytes are no tf.train.Example")
        return whole


def _kept(mask: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    return list(arrays) if mask.all() else [array[mask] for array in arrays]


def _length(buffer: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lengths that stand at `at`, and where they end."""
    byte = buffer[at]
    value, after = (byte & 0x7F).astype(np.int64), at + 1
    more = np.flatnonzero(byte >= 0x80)
    for place in range(1, _LONGEST_LENGTH):
        if not len(more):
            return value, after
        byte = buffer[np.minimum(after[more], len(buffer) - 1)]
        value[more] |= (byte & 0x7F).astype(np.int64) << (7 * place)
        after[more] += 1
        more = more[byte >= 0x80]
    value[more] = _NO_LENGTH
    return value, after


def _delimited(buffer: np.ndarray, at: np.ndarray, tag: int) -> tuple[np.ndarray, np.ndarray]:
    """Start and stop of the contents of the fields at `at`; the stop is beyond all where another tag stands there."""
    safe = np.minimum(at, len(buffer) - PADDING)
    length, start = _length(buffer, safe + 1)
    length[buffer[safe] != tag] = _NO_LENGTH
    return start, start + length


def _lists(
    buffer: np.ndarray, value: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Kind, start and stop of the lists in features `buffer[value:after]`, and whether each is in the usual form."""
    tag = buffer[value]
    kind = (tag >> 3).astype(np.uint8)
    empty = value == after
    length, start = _length(buffer, value + 1)
    usual = empty | ((tag & 7 == 2) & (kind >= BYTES) & (kind <= INT64) & (start + length == after))
    none = empty | (start == after)
    numbers = usual & ~none & (kind != BYTES)
    packed, packed_stop = _delimited(buffer, np.minimum(start, after), _LIST)
    usual &= ~numbers | (packed_stop == after)
    kind[none] = 0
    return kind, np.where(numbers, packed, start), after, usual


def _named(buffer: np.ndarray, start: np.ndarray, length: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The distinct names at `start`, each with the places that have it. Mostly there is one: rows are written alike."""
    words: np.ndarray = np.ndarray(len(buffer) - 7, dtype="<u8", buffer=buffer, strides=(1,))
    found, left = [], np.arange(len(start))
    while len(left):
        first, size = int(start[left[0]]), int(length[left[0]])
        same = length[left] == size
        for offset in range(0, size, 8):
            mask = np.uint64((1 << 8 * min(8, size - offset)) - 1)
            same &= (words[np.minimum(start[left] + offset, len(words) - 1)] ^ words[first + offset]) & mask == 0
        name = buffer[first : first + size].tobytes().decode("utf-8", "backslashreplace")
        found.append((name, left[same]))
        left = left[~same]
    return found


def _column(buffer: np.ndarray, name: str, found: _Found, as_list: bool) -> pa.Array:
    present = np.flatnonzero(found.kind)
    if not len(present):
        return pa.nulls(len(found.kind))
    kind = int(found.kind[present[0]])
    other = present[found.kind[present] != kind]
    if len(other):
        raise BadExampleError(
            int(other[0]),
            f"feature {name!r} is of kind {KINDS[int(found.kind[other[0]])]}, in rows before of kind {KINDS[kind]}",
        )
    read = {BYTES: _strings, FLOAT: _floats, INT64: _integers}[kind]
    values, per_row = read(buffer, name, present, found.start[present], found.stop[present])
    counts = np.zeros(len(found.kind), dtype=np.int64)
    counts[present] = per_row
    ends = np.cumsum(counts)
    if as_list:
        offsets = pa.array(np.concatenate([[0], ends]), mask=np.concatenate([counts == 0, [False]]))
        return pa.LargeListArray.from_arrays(offsets, values)
    if counts.max() > 1:
        row = int(np.argmax(counts > 1))
        raise BadExampleError(
            row, f"feature {name!r} has {counts[row]} values, expected one; a list is read by `kind: sequence`"
        )
    return values if counts.all() else values.take(pa.array(ends - 1, mask=counts == 0))


def _gathered(buffer: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The bytes of many ranges, one after the other."""
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    return buffer[np.repeat(start - (ends - length), length) + np.arange(total)]


def _integers(
    buffer: np.ndarray, name: str, rows: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    raw = _gathered(buffer, start, stop - start)
    ends = np.flatnonzero(raw < 0x80) + 1  # Of numbers.
    row_ends = np.cumsum(stop - start)
    before = np.searchsorted(ends, row_ends, side="right")
    counts = np.diff(before, prepend=0)
    starts = np.concatenate([[0], ends[:-1]])
    size = ends - starts
    whole = np.zeros(len(row_ends), dtype=bool)
    whole[before > 0] = ends[before[before > 0] - 1] == row_ends[before > 0]
    bad = ~whole[: len(rows)]
    if bad.any() or size.max(initial=0) > 10:
        place = int(np.argmax(bad)) if bad.any() else int(np.searchsorted(before, np.argmax(size > 10), side="right"))
        raise BadExampleError(int(rows[place]), f"the numbers of feature {name!r} are cut short or too long")
    values = np.zeros(len(ends), dtype=np.uint64)
    places = np.arange(len(ends))
    for byte in range(int(size.max(initial=0))):
        if byte:
            places = places[size[places] > byte]
        values[places] |= (raw[starts[places] + byte] & 0x7F).astype(np.uint64) << np.uint64(7 * byte)
    return pa.array(values.view(np.int64)), counts


def _floats(
    buffer: np.ndarray, name: str, rows: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    length = stop - start
    if (length % 4).any():
        raise BadExampleError(int(rows[np.argmax(length % 4 > 0)]), f"the numbers of feature {name!r} are cut short")
    return pa.array(_gathered(buffer, start, length).view("<f4")), length // 4


def _strings(
    buffer: np.ndarray, name: str, rows: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    places, starts, lengths = [], [], []
    left, at = np.arange(len(rows)), start
    counts = np.zeros(len(rows), dtype=np.int64)
    while len(left):
        first, after = _delimited(buffer, at, _LIST)
        bad = after > stop[left]
        if bad.any():
            raise BadExampleError(int(rows[left[np.argmax(bad)]]), f"a value of feature {name!r} is cut short")
        counts[left] += 1
        places.append(left)
        starts.append(first)
        lengths.append(after - first)
        left, at = _kept(after < stop[left], left, after)
    order = np.argsort(np.concatenate(places), kind="stable") if len(places) > 1 else slice(None)
    first, length = np.concatenate(starts)[order], np.concatenate(lengths)[order]
    offsets = np.concatenate([[0], np.cumsum(length)])
    data = _gathered(buffer, first, length)
    values = pa.Array.from_buffers(pa.large_string(), len(length), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        owner = np.repeat(rows, counts)
        for place, value in enumerate(values.cast(pa.large_binary()).to_pylist()):
            try:
                value.decode()
            except UnicodeDecodeError as error:
                raise BadExampleError(
                    int(owner[place]), f"feature {name!r} holds {value[:40]!r}, which is not UTF-8 ({error.reason})"
                ) from error
        raise
    return values, counts
