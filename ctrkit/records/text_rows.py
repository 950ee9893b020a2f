"""Find the rows of delimited text, and those of them that are damaged: what a row is depends on no other row.

A row ends with its line. In CSV a quoted value may hold line ends; its quotes must stand at the value's ends, and be
doubled inside. Where they do not, or stay open for `LONGEST_QUOTED` bytes, the row's first line alone is damaged, and
the next line begins a row: one slip of a pen costs one line, not the rest of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

LONGEST_QUOTED = 1 << 20  # Bytes of a row with line ends in quotes; more is a quote that was never closed.
_END, _QUOTE, _RETURN = ord("\n"), ord('"'), ord("\r")
_PLAIN, _ROW, _BROKEN = range(3)  # Lines without quotes, a row that has some, a line whose quotes are broken.


@dataclass(frozen=True)
class TextRows:
    """Where the rows of a text are; blank lines are none."""

    start: np.ndarray  # int64 [rows], bytes.
    stop: np.ndarray  # int64 [rows], after the row's line end.
    line: np.ndarray  # int64 [rows], of the file.

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: np.ndarray) -> TextRows:
        """Some of them: a mask or places."""
        return TextRows(self.start[rows], self.stop[rows], self.line[rows])

    def joined(self, data: bytes) -> bytes:
        """The text of these rows alone."""
        cuts = np.flatnonzero(self.start[1:] != self.stop[:-1]) + 1  # Rows side by side are copied at once.
        firsts, lasts = np.r_[0, cuts], np.r_[cuts, len(self)] - 1
        pairs = zip(self.start[firsts].tolist(), self.stop[lasts].tolist(), strict=True) if len(self) else ()
        return b"".join(data[start:stop] for start, stop in pairs)


@dataclass(frozen=True)
class Damage:
    """What is wrong with a row."""

    row: int
    reason: str  # One of few, to count by.
    told: str  # What was got and what was expected.
    column: str = ""


def find_rows(data: bytes, first_line: int, *, separator: str, quoted: bool) -> tuple[TextRows, np.ndarray]:
    """The rows of a text that begins with one and ends with one, and which have broken quotes: bool [rows]."""
    raw = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw == _END) + 1
    if not len(ends) or ends[-1] < len(raw):
        ends = np.append(ends, len(raw))
    lines = first_line + np.arange(len(ends))
    starts, broken = np.r_[0, ends[:-1]], np.zeros(len(ends), dtype=bool)
    if quoted:
        found = well_quoted_ends(data, separator)
        if found is not None:
            last = np.searchsorted(ends, found)
            starts, ends = np.r_[0, found[:-1]], found
            lines, broken = first_line + np.r_[0, last[:-1] + 1], np.zeros(len(found), dtype=bool)
        else:
            scanned = list(_scanned(data, len(data), separator, final=True))
            last, kind = np.array(scanned, dtype=np.int64)[:, 1:].T
            of = np.searchsorted(last, ends)  # The stretch of text where each line ends.
            row_ends = (kind[of] == _PLAIN) | (ends == last[of])
            before = np.flatnonzero(np.r_[True, row_ends[:-1]])  # The line that each row begins with.
            starts, lines, ends = starts[before], lines[before], ends[row_ends]
            broken = kind[of[row_ends]] == _BROKEN
    lengths = ends - starts
    blank = (lengths == 1) & (raw[starts] == _END)
    blank |= (lengths == 2) & (raw[starts] == _RETURN) & (raw[ends - 1] == _END)
    rows = TextRows(starts, ends, lines)
    return rows.take(~blank), broken[~blank]


def last_row_end(
    data: bytes | bytearray, stop: int, *, separator: str, quoted: bool, final: bool = False
) -> tuple[int, bool]:
    """Where the last row of `data[:stop]` ends that is whole, or damaged for certain; 0 when there is none.

    Also whether no quote is broken up to there.
    """
    if not quoted or data.find(b'"', 0, stop) < 0:
        return data.rfind(b"\n", 0, stop) + 1, True
    array = np.frombuffer(data, dtype=np.uint8, count=stop)
    ends = np.flatnonzero(array == _END)
    outside = np.searchsorted(np.flatnonzero(array == _QUOTE), ends) % 2 == 0
    del array  # So that a bytearray is free again.
    if outside.any():
        cut = int(ends[outside][-1]) + 1
        if stop - cut <= LONGEST_QUOTED and well_quoted_ends(bytes(memoryview(data)[:cut]), separator) is not None:
            return cut, True
    cut = 0
    for _, cut, _ in _scanned(data, stop, separator, final=final):  # noqa: B007
        pass
    return cut, False


def well_quoted_ends(data: bytes, separator: str) -> np.ndarray | None:
    """Where each row of a text ends, line ends in quotes left aside; None when a quote is where none may be."""
    raw = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(raw == _QUOTE)
    if len(quotes) % 2:
        return None
    opens, closes = quotes[::2], quotes[1::2]
    around = np.concatenate([[_END], raw, [_END, _END]])  # Byte i is around[i + 1].
    before, after = around[opens], around[closes + 2]
    doubled = opens[1:] == closes[:-1] + 1
    good_open = (before == ord(separator)) | (before == _END)
    good_open[1:] |= doubled
    good_close = (after == ord(separator)) | (after == _END) | ((after == _RETURN) & (around[closes + 3] == _END))
    good_close[:-1] |= doubled
    if not (good_open.all() and good_close.all()):
        return None
    ends = np.flatnonzero(raw == _END)
    ends = ends[np.searchsorted(quotes, ends) % 2 == 0] + 1
    if not len(ends) or ends[-1] < len(raw):
        ends = np.append(ends, len(raw))
    lengths = np.diff(ends, prepend=0)
    long = np.flatnonzero(lengths > LONGEST_QUOTED)
    if any(data.count(b"\n", int(ends[k] - lengths[k]), int(ends[k])) > 1 for k in long):
        return None
    return ends


@cache
def _patterns(separator: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A whole row with its end, and the beginning of one at the end of the text."""
    between = re.escape(separator.encode())
    plain = rb'[^"' + between + rb"\n]*+"
    value = rb'(?:"(?:[^"]|"")*+"\r?+(?=' + between + rb"|\n|\Z)|" + plain + rb")"
    whole = value + rb"(?:" + between + value + rb")*+(?:\n|\Z)"
    begun = rb"(?:" + value + between + rb')*+(?:"(?:[^"]|"")*+(?:"\r?)?|' + plain + rb")\Z"
    return re.compile(whole), re.compile(begun)


def _scanned(data: bytes | bytearray, stop: int, separator: str, *, final: bool) -> Iterator[tuple[int, int, int]]:
    """Text from one end of a row to another: start, stop, and what is there. With `final` nothing follows the text."""
    whole, begun = _patterns(separator)
    at = 0
    while at < stop:
        quote = data.find(b'"', at, stop)
        plain = data.rfind(b"\n", at, quote if quote >= 0 else stop) + 1
        if plain > at:
            yield at, plain, _PLAIN
            at = plain
            continue
        found = whole.match(data, at, stop)
        end = found.end() if found else 0
        if found and end == stop and data[end - 1] != _END and not final:
            return
        if found and (end - at <= LONGEST_QUOTED or data.count(b"\n", at, end) == 1):
            yield at, end, _ROW
        else:
            if not found and not final and stop - at <= LONGEST_QUOTED and begun.match(data, at, stop):
                return
            end = data.find(b"\n", at, stop) + 1 or (stop if final else 0)
            if not end:
                return
            yield at, end, _BROKEN
        at = end


def damages(
    data: bytes, rows: TextRows, names: Sequence[str], wanted: Sequence[str], *, separator: str, quoted: bool
) -> list[Damage]:
    """What is wrong with the rows of a text, whose quotes are not broken, by row: at most one for each."""
    found: dict[int, Damage] = {}
    raw = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(raw == _QUOTE) if quoted else np.empty(0, dtype=np.int64)

    def outside(places: np.ndarray) -> np.ndarray:
        return places[np.searchsorted(quotes, places) % 2 == 0] if len(quotes) else places

    def in_rows(places: np.ndarray) -> list[int]:
        return np.unique(np.searchsorted(rows.stop, places, side="right")).tolist()

    for row in in_rows(np.flatnonzero(raw == 0)):
        found[row] = Damage(row, "a byte 0", "holds a byte 0, which no text has")
    returns = outside(np.flatnonzero(raw == _RETURN))
    for row in in_rows(returns[np.append(raw, 0)[returns + 1] != _END]):
        found.setdefault(row, Damage(row, "carriage return", "holds a carriage return before its end"))
    separators = outside(np.flatnonzero(raw == ord(separator)))
    values = 1 + np.searchsorted(separators, rows.stop) - np.searchsorted(separators, rows.start)
    for row in np.flatnonzero(values != len(names)).tolist():
        told = f"got {values[row]} values, expected {len(names)}"
        found.setdefault(row, Damage(row, "number of values", told))
    for row in in_rows(np.flatnonzero(raw >= 0x80)):
        if row not in found:
            damage = _undecodable(data[rows.start[row] : rows.stop[row]], row, names, wanted, separator)
            if damage is not None:
                found[row] = damage
    return [found[row] for row in sorted(found)]


def _undecodable(text: bytes, row: int, names: Sequence[str], wanted: Sequence[str], separator: str) -> Damage | None:
    """A column that is read and is not UTF-8."""
    try:
        text.decode()
        return None
    except UnicodeDecodeError:
        value = re.compile(rb'"(?:[^"]|"")*+"|[^' + re.escape(separator.encode()) + rb"]*+")
        at = 0
        for name in names:
            match = value.match(text, at)
            assert match is not None
            at = match.end() + 1
            try:
                match.group().decode()
            except UnicodeDecodeError as error:
                if name in wanted:
                    told = f"byte 0x{error.object[error.start]:02x} is not UTF-8 ({error.reason})"
                    return Damage(row, "not UTF-8", told, name)
        return None
