"""Read a CSV or TSV log, plain or gzip-compressed, in chunks of whole lines; errors name the line."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ctrkit.errors import LogError
from ctrkit.records.chunk import Chunk, Piece, Position, check_columns
from ctrkit.records.rejections import BadRowsError, Rejections, shortened
from ctrkit.records.short_values import short_columns
from ctrkit.records.text_rows import Damage, TextRows, damages, find_rows, well_quoted_ends
from ctrkit.records.text_stream import whole_rows
from ctrkit.schema import Schema

_NOT_BLANK = re.compile(rb"\S")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARSED_AT_ONCE = 1 << 20  # Bytes: 40 columns of a MB stay in the cache, which is 2-3 times faster than 16 MB.
_QUOTING = Damage(-1, "quoting", "has a quote inside a value, or one that is never closed")


@dataclass(frozen=True, kw_only=True)
class TextPiece(Piece):
    """Some whole lines."""

    path: Path
    schema: Schema
    names: list[str]  # Of all columns of the file.
    buffer: bytearray
    start: int  # The lines are `buffer[start:stop]`.
    stop: int
    first_line: int
    sound_quotes: bool  # Known to be; else it has to be found out.

    @property
    def data(self) -> memoryview:
        return memoryview(self.buffer)[self.start : self.stop]

    def parse(self, rejected: Rejections | None = None) -> Chunk:
        wanted, log_format = list(self.schema.columns), self.schema.format
        columns: dict[str, pa.Array | pa.ChunkedArray] = {}
        if not self._quoted:
            columns |= short_columns(
                self.data, self.names, wanted, separator=self._separator, missing=log_format.missing
            )
        long = [name for name in wanted if name not in columns]
        table = None if not long or self._doubtful else self._table(self.data, long)
        rows = None
        if long and table is None:
            rows, text = self._sound(rejected)
            columns, long = {}, wanted
            table = self._table(text, wanted)
            if table is None:
                raise LogError(f"{self.path}, line {self.first_line:,} and after: cannot be read as {log_format.kind}.")
        columns |= {name: table.column(name) for name in long} if table is not None else {}
        return Chunk(
            path=self.path,
            unit="line",
            first=self.first_line,
            rows=len(columns[wanted[0]]),
            columns={name: columns[name] for name in wanted},
            locate=partial(self._locate, cache(self._rows) if rows is None else lambda: rows),
        )

    @property
    def _separator(self) -> str:
        assert self.schema.format.separator is not None
        return self.schema.format.separator

    @property
    def _quoted(self) -> bool:
        return self.schema.format.kind == "csv" and self.buffer.find(b'"', self.start, self.stop) >= 0

    @property
    def _doubtful(self) -> bool:
        """Whether the text may hold what the parser takes for something else than it is."""
        here = (self.start, self.stop)
        returns = self.buffer.count(b"\r", *here)
        return (
            self.buffer.find(b"\0", *here) >= 0
            or (returns > 0 and returns != self.buffer.count(b"\r\n", *here))
            or (not self.sound_quotes and self._quoted and well_quoted_ends(bytes(self.data), self._separator) is None)
        )

    def _table(self, data: memoryview | bytes, wanted: list[str], block: int = _PARSED_AT_ONCE) -> pa.Table | None:
        """The wanted columns as strings, parsed `block` bytes at a time unless a line is longer.

        None for text of which some row cannot be read.
        """
        if not _NOT_BLANK.search(data):
            return pa.table({name: pa.array([], pa.string()) for name in wanted})
        log_format, quoted = self.schema.format, self._quoted
        try:
            return pyarrow.csv.read_csv(
                pa.py_buffer(data),
                pyarrow.csv.ReadOptions(
                    use_threads=False, column_names=self.names, block_size=min(block, len(data) + 1)
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=log_format.separator,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                ),
                pyarrow.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    null_values=list(log_format.missing),
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            if block <= len(data) and "straddl" in str(error):
                return self._table(data, wanted, len(data) + 1)
            return None

    def _rows(self) -> TextRows:
        """Where the rows are, of text that is sound."""
        return find_rows(bytes(self.data), self.first_line, separator=self._separator, quoted=self._quoted)[0]

    def _sound(self, rejected: Rejections | None) -> tuple[TextRows, bytes]:
        """The rows that are sound, and their text. Others are rejected, or the first of them is raised."""
        data, separator, quoted = bytes(self.data), self._separator, self._quoted
        rows, broken = find_rows(data, self.first_line, separator=separator, quoted=quoted)
        places = np.flatnonzero(~broken)
        whole = rows.take(places)
        text = whole.joined(data)
        stops = np.cumsum(whole.stop - whole.start)
        within = TextRows(stops - (whole.stop - whole.start), stops, whole.line)
        found = damages(text, within, self.names, list(self.schema.columns), separator=separator, quoted=quoted)
        bad = {int(places[damage.row]): damage for damage in found}
        bad |= dict.fromkeys(np.flatnonzero(broken).tolist(), _QUOTING)
        for place in sorted(bad):
            shown = _shown(data[rows.start[place] : rows.stop[place]])
            line, damage = int(rows.line[place]), bad[place]
            if rejected is None:
                raise BadRowsError(
                    self._explained(line, damage, shown),
                    rows=np.array([place]),
                    reason=damage.reason,
                    column=damage.column,
                )
            rejected.reject(damage.reason, damage.column, [(f"{self.path}:{line}", shown)])
        if not bad:
            return rows, data
        kept = np.delete(np.arange(len(within)), [damage.row for damage in found])
        return whole.take(kept), within.take(kept).joined(text)

    def _explained(self, line: int, damage: Damage, shown: str) -> str:
        where = f"{self.path}, line {line:,}: "
        text = repr(shortened(shown, 80))
        if damage.reason == "not UTF-8":
            return (
                f"{where}{damage.told} in column {damage.column!r}: {text}. Convert the log first, e.g. "
                f"iconv -f latin1 -t utf-8 {self.path.name} > utf8-{self.path.name}"
            )
        if damage is _QUOTING:
            return (
                f"{where}{damage.told}: {text}. Quotes enclose a whole value and are doubled inside: mend or remove "
                'the line. A log without quoting is `format: {kind: tsv, separator: ","}`.'
            )
        fix = ", or check `separator` and `columns` in the schema's format." if line <= 2 else "."
        return f"{where}{damage.told}: {text}. Mend or remove the line{fix}"

    def _locate(self, rows: Callable[[], TextRows], row: int) -> tuple[int, str]:
        found = rows()
        return int(found.line[row]), _shown(bytes(self.data[found.start[row] : found.stop[row]]))


def _shown(line: bytes) -> str:
    return line[:4096].decode(errors="backslashreplace").rstrip("\r\n")


def text_pieces(path: Path, schema: Schema, chunk_bytes: int, start: Position | None = None) -> Iterator[TextPiece]:
    """Yield the lines of one file, from `start` on, in pieces of about `chunk_bytes`.

    Raises `LogError` for a header that lacks a column, a compressed file that is cut short, an endless line.
    """
    begin = Position() if start is None else start
    columns = schema.format.columns
    names = list(columns) if columns is not None else header_names(path, schema) if begin.offset else None
    if columns is not None:
        check_columns(schema, list(columns), path)
    line, offset = begin.number, begin.offset
    assert schema.format.separator is not None
    for buffer, stop, consumed, sound in whole_rows(
        path, chunk_bytes, separator=schema.format.separator, quoted=schema.format.kind == "csv", offset=offset
    ):
        at = 0
        if offset == 0 and buffer.startswith(_BYTE_ORDER_MARK):
            at = len(_BYTE_ORDER_MARK)
        if names is None:
            header = bytes(buffer[at:stop].split(b"\n", 1)[0])
            names = _names(header, schema, path)
            check_columns(schema, names, path)
            at = min(at + len(header) + 1, stop)
            line += 1
        first = line
        line += np.count_nonzero(np.frombuffer(buffer, dtype=np.uint8)[at:stop] == ord("\n"))
        offset += stop
        if _NOT_BLANK.search(buffer, at, stop):
            yield TextPiece(
                path=path,
                schema=schema,
                names=names,
                buffer=buffer,
                start=at,
                stop=stop,
                first_line=first,
                sound_quotes=sound,
                on_disk=consumed,
                after=Position(file=begin.file, offset=offset, number=line),
            )


def header_names(path: Path, schema: Schema) -> list[str]:
    """The names of the columns in a file's first line. Raises `LogError`."""
    assert schema.format.separator is not None
    for buffer, stop, _, _ in whole_rows(path, 1 << 20, separator=schema.format.separator, quoted=False):
        line = bytes(buffer[:stop]).removeprefix(_BYTE_ORDER_MARK).split(b"\n", 1)[0]
        return _names(line, schema, path)
    return []


def _names(header: bytes, schema: Schema, path: Path) -> list[str]:
    try:
        text = header.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise LogError(
            f"{path}, line 1: the line of column names is not UTF-8 (byte 0x{header[error.start]:02x}). "
            f"Is it a {schema.format.kind} log?"
        ) from error
    if "\r" in text:
        raise LogError(
            f"{path}: lines end in carriage returns alone, expected line feeds. Convert the log first: "
            f"tr '\\r' '\\n' < {path.name} > unix-{path.name}"
        )
    assert schema.format.separator is not None
    quoting = csv.QUOTE_MINIMAL if schema.format.kind == "csv" else csv.QUOTE_NONE
    return next(csv.reader([text], delimiter=schema.format.separator, quoting=quoting), [])  # type: ignore[arg-type]
