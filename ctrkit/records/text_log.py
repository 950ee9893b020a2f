"""Read a CSV or TSV log, plain or gzip-compressed, in chunks of whole lines; errors name the line."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ctrkit.errors import LogError
from ctrkit.records.chunk import Chunk, Piece, check_columns
from ctrkit.records.short_values import short_columns
from ctrkit.schema import Schema

LONGEST_LINE = 64 << 20  # Bytes; more without the end of a line is no log but, say, an unbalanced quote.
_NOT_BLANK = re.compile(rb"\S")
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARSED_AT_ONCE = 1 << 20  # Bytes: 40 columns of a MB stay in the cache, which is 2-3 times faster than 16 MB.


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

    @property
    def data(self) -> memoryview:
        return memoryview(self.buffer)[self.start : self.stop]

    def parse(self) -> Chunk:
        invalid: list[pyarrow.csv.InvalidRow] = []

        def refuse(row: pyarrow.csv.InvalidRow) -> str:
            invalid.append(row)
            return "error"

        log_format, wanted = self.schema.format, list(self.schema.columns)
        assert log_format.separator is not None
        columns: dict[str, pa.Array | pa.ChunkedArray] = {}
        if not self._quoted:
            columns |= short_columns(
                self.data, self.names, wanted, separator=log_format.separator, missing=log_format.missing
            )
        long = [name for name in wanted if name not in columns]
        if long:
            try:
                table = self._table(long, min(_PARSED_AT_ONCE, len(self.data) + 1), refuse)
            except pa.ArrowInvalid as error:
                raise self._explained(error, invalid) from error
            columns |= {name: table.column(name) for name in long}
        return Chunk(
            path=self.path,
            unit="line",
            first=self.first_line,
            rows=len(columns[wanted[0]]),
            columns={name: columns[name] for name in wanted},
        )

    @property
    def _quoted(self) -> bool:
        return self.schema.format.kind == "csv" and self.buffer.find(b'"', self.start, self.stop) >= 0

    def _table(self, wanted: list[str], block: int, refuse: Callable[[pyarrow.csv.InvalidRow], str]) -> pa.Table:
        """The wanted columns as strings, parsed `block` bytes at a time unless a line is longer."""
        log_format, quoted = self.schema.format, self._quoted
        try:
            return pyarrow.csv.read_csv(
                pa.py_buffer(self.data),
                pyarrow.csv.ReadOptions(use_threads=False, column_names=self.names, block_size=block),
                pyarrow.csv.ParseOptions(
                    delimiter=log_format.separator,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                    invalid_row_handler=refuse,
                ),
                pyarrow.csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.string()),
                    null_values=list(log_format.missing),
                    strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            if block <= len(self.data) and "straddl" in str(error):
                return self._table(wanted, len(self.data) + 1, refuse)
            raise

    def _explained(self, error: Exception, invalid: list[pyarrow.csv.InvalidRow]) -> LogError:
        if invalid:
            found = re.search(rb"(?m)^" + re.escape(invalid[0].text.encode()) + rb"\r?$", self.data)
            line = self._line_of(0 if found is None else found.start())
            return LogError(
                f"{self.path}, line {line:,}: got {invalid[0].actual_columns} values, expected "
                f"{invalid[0].expected_columns}: {_shortened(invalid[0].text)!r}. Mend or remove the line"
                + (", or check `separator` and `columns` in the schema's format." if line <= 2 else ".")
            )
        try:
            bytes(self.data).decode()
        except UnicodeDecodeError as bad:
            line = self._line_of(bad.start)
            return LogError(
                f"{self.path}, line {line:,}: byte 0x{self.data[bad.start]:02x} is not UTF-8 "
                f"({bad.reason}): {_shortened(repr(self._text_of(bad.start)))}. Convert the log first, e.g. "
                f"iconv -f latin1 -t utf-8 {self.path.name} > utf8-{self.path.name}"
            )
        return LogError(f"{self.path}, line {self.first_line:,} and after: {error}")

    def _line_of(self, place: int) -> int:
        return self.first_line + self.buffer.count(b"\n", self.start, self.start + place)

    def _text_of(self, place: int) -> bytes:
        lines = bytes(self.data)
        end = lines.find(b"\n", place)
        return lines[lines.rfind(b"\n", 0, place) + 1 : end if end >= 0 else None]


def _shortened(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def text_pieces(path: Path, schema: Schema, chunk_bytes: int) -> Iterator[TextPiece]:
    """Yield the lines of one file in pieces of about `chunk_bytes`.

    Raises `LogError` for a header that lacks a column, a compressed file that is cut short, an endless line.
    """
    names = list(schema.format.columns) if schema.format.columns is not None else None
    if names is not None:
        check_columns(schema, names, path)
    line = 1
    for buffer, stop, consumed in _whole_lines(path, chunk_bytes, quoted=schema.format.kind == "csv"):
        start = len(_BYTE_ORDER_MARK) if line == 1 and buffer.startswith(_BYTE_ORDER_MARK) else 0
        if names is None:
            header = buffer[start:stop].split(b"\n", 1)[0]
            names = _names(bytes(header), schema, path)
            check_columns(schema, names, path)
            start = min(start + len(header) + 1, stop)
            line += 1
        if _NOT_BLANK.search(buffer, start, stop):
            yield TextPiece(
                path=path,
                schema=schema,
                names=names,
                buffer=buffer,
                start=start,
                stop=stop,
                first_line=line,
                on_disk=consumed,
            )
        line += np.count_nonzero(np.frombuffer(buffer, dtype=np.uint8)[start:stop] == ord("\n"))


def _names(header: bytes, schema: Schema, path: Path) -> list[str]:
    try:
        text = header.decode().rstrip("\r")
    except UnicodeDecodeError as error:
        raise LogError(
            f"{path}, line 1: the line of column names is not UTF-8 (byte 0x{header[error.start]:02x}). "
            f"Is it a {schema.format.kind} log?"
        ) from error
    assert schema.format.separator is not None
    quoting = csv.QUOTE_MINIMAL if schema.format.kind == "csv" else csv.QUOTE_NONE
    return next(csv.reader([text], delimiter=schema.format.separator, quoting=quoting), [])  # type: ignore[arg-type]


def _whole_lines(path: Path, chunk_bytes: int, *, quoted: bool) -> Iterator[tuple[bytearray, int, int]]:
    """Yield buffers, where their last whole line ends, and the bytes of the file that were consumed for them."""
    rest, before = b"", 0
    with open(path, "rb") as raw:
        stream = _stream(raw, path)
        while True:
            buffer = bytearray(len(rest) + chunk_bytes)
            buffer[: len(rest)] = rest
            filled = len(rest) + _read(stream, memoryview(buffer)[len(rest) :], raw, path)
            position = raw.tell()
            if filled == len(rest):
                if rest:
                    yield buffer, filled, position - before
                return
            cut = _end_of_lines(buffer, filled, quoted=quoted)
            if cut:
                yield buffer, cut, position - before
                before = position
            rest = bytes(memoryview(buffer)[cut:filled])
            if len(rest) > max(LONGEST_LINE, 2 * chunk_bytes):
                raise LogError(
                    f"{path}: no line ends within {len(rest) >> 20} MB. Is it a text log? A quote that is opened and "
                    'never closed does this too; a log without quoting is `format: {kind: tsv, separator: ","}`.'
                )


def _stream(raw: IO[bytes], path: Path) -> IO[bytes]:
    """The text of an open file, decompressed when it is compressed."""
    magic = raw.read(4)
    raw.seek(0)
    if magic == b"PAR1":
        raise LogError(f"{path} is a Parquet file. Write `format: parquet` in the schema.")
    compressed = magic.startswith(_GZIP_MAGIC)
    if path.suffix == ".gz" and magic and not compressed:
        raise LogError(f"{path} is named .gz but is not gzip-compressed (it begins with {magic!r}). Rename it.")
    return gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[return-value]


def _read(stream: IO[bytes], into: memoryview, raw: IO[bytes], path: Path) -> int:
    """Fill `into` and return the number of bytes read, fewer only at the end of the file."""
    filled = 0
    try:
        while filled < len(into):
            count = stream.readinto(into[filled:])  # type: ignore[attr-defined]
            if not count:
                break
            filled += count
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(
            f"{path} is cut short or damaged: decompression stopped at byte {raw.tell():,} of "
            f"{path.stat().st_size:,} ({error}). Fetch the file again; `gzip -t {path.name}` tells whether it is whole."
        ) from error
    return filled


def _end_of_lines(data: bytearray, stop: int, *, quoted: bool) -> int:
    """Where the last whole line of `data[:stop]` ends; a line may hold line ends inside quotes."""
    if not quoted or data.find(b'"', 0, stop) < 0:
        return data.rfind(b"\n", 0, stop) + 1
    array = np.frombuffer(data, dtype=np.uint8, count=stop)
    ends = np.flatnonzero(array == ord("\n"))
    outside = np.searchsorted(np.flatnonzero(array == ord('"')), ends) % 2 == 0
    return int(ends[outside][-1]) + 1 if outside.any() else 0
