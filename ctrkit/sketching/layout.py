"""See how a log is laid out: its kind, its separator, and whether its first line names the columns."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ctrkit.errors import LogError
from ctrkit.schema import LogFormat

_LOOKED_AT = 1 << 20  # Bytes of the beginning.
_LINES = 500
_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", "\x01": "byte 1", " ": "space"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How to read a log, and why so."""

    format: LogFormat
    columns: tuple[str, ...]  # Of every column, in order.
    header: bool  # The log names its columns itself.
    why: str
    nested: tuple[str, ...] = ()  # Columns of records or of lists of such, which no feature reads; not in `columns`.


def guess_layout(path: Path) -> Layout:
    """Look at the beginning of a file. Raises `LogError` where it is no table."""
    head = _head(path)
    if head.startswith(b"PAR1"):
        return _parquet(path)
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < _LOOKED_AT else "ignore")
    except UnicodeDecodeError as error:
        raise LogError(
            f"{path}: byte 0x{head[error.start]:02x} at place {error.start:,} is not UTF-8. Is it a text log? "
            f"Convert it first, e.g. iconv -f latin1 -t utf-8 {path.name} > utf8-{path.name}"
        ) from error
    lines = text.splitlines()
    lines = [line for line in (lines[:-1] if len(head) == _LOOKED_AT else lines) if line.strip()][:_LINES]
    if len(lines) < 2:
        raise LogError(f"{path} has {len(lines)} lines, expected a log with many. Nothing can be told from so few.")
    separator = _separator(path, lines)
    rows = _cells(lines, separator)
    header = _is_header(rows)
    columns = tuple(rows[0]) if header else tuple(f"column_{i}" for i in range(1, len(rows[0]) + 1))
    kind = "tsv" if separator == "\t" and '"' not in text else "csv"
    usual = "\t" if kind == "tsv" else ","
    named = "the first line names the columns" if header else "no line names the columns, so they are numbered"
    return Layout(
        format=LogFormat(
            kind=kind, separator=None if separator == usual else separator, columns=None if header else columns
        ),
        columns=columns,
        header=header,
        why=f"{_SEPARATORS[separator]}-separated; {named}",
    )


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as raw:
            magic = raw.read(2)
            raw.seek(0)
            if magic == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=raw) as stream:
                    return stream.read(_LOOKED_AT)
            return raw.read(_LOOKED_AT)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{path} is cut short or damaged: {error}. Fetch the file again.") from error
    except OSError as error:
        raise LogError(f"Cannot read {path}: {error.strerror or error}.") from error


def _parquet(path: Path) -> Layout:
    try:
        fields = list(pyarrow.parquet.read_schema(path))
    except (pa.ArrowInvalid, OSError) as error:
        raise LogError(f"{path} cannot be read as Parquet: {str(error).rstrip('.')}. It may be cut short.") from error
    nested = tuple(field.name for field in fields if _is_nested(field.type))
    names = tuple(field.name for field in fields if field.name not in nested)
    log_format = LogFormat(kind="parquet")
    return Layout(format=log_format, columns=names, header=True, why="Parquet names its columns", nested=nested)


def _is_nested(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return bool(pa.types.is_nested(kind.value_type))
    return bool(pa.types.is_nested(kind))


def _separator(path: Path, lines: list[str]) -> str:
    """The one that cuts most lines into the same number of values, and into more than one."""
    best, best_score = "", 0.0
    for place, separator in enumerate(_SEPARATORS):
        width, count = Counter(len(row) for row in _cells(lines, separator)).most_common(1)[0]
        score = (count / len(lines)) * (1 - 0.01 * place)
        if width > 1 and count / len(lines) > 0.9 and score > best_score:
            best, best_score = separator, score
    if not best:
        hint = " Several-character separators such as '::' have to be replaced first." if "::" in lines[0] else ""
        raise LogError(
            f"{path}: no separator (comma, tab, semicolon, bar, space) cuts its lines into the same number of values; "
            f"the first is {lines[0][:80]!r}.{hint} Write the schema by hand, as README shows."
        )
    return best


def _cells(lines: list[str], separator: str) -> list[list[str]]:
    quoting = csv.QUOTE_NONE if separator == "\t" and not any('"' in line for line in lines) else csv.QUOTE_MINIMAL
    return [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, quoting=quoting) if row]  # type: ignore[arg-type]


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first line holds names: distinct, no numbers, and no values of the lines below."""
    first, others = rows[0], rows[1:]
    if any(_is_number(cell) for cell in first):
        return False
    if any(_is_number(cell) for row in others[:20] for cell in row):
        return True
    if len(set(first)) < len(first):
        return False
    below = [{row[i] for row in others if i < len(row)} for i in range(len(first))]
    return not any(cell in values for cell, values in zip(first, below, strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")
