"""A chunk of a raw log: some consecutive rows as Arrow columns, with the place they came from."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ctrkit.errors import LogError, did_you_mean
from ctrkit.records.rejections import Rejections
from ctrkit.schema import Schema, column_of


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Rows of one file; text columns are strings, null where missing."""

    path: Path
    unit: str  # What `first` counts: lines of a text log, rows of a Parquet file.
    first: int  # Number of the first row's line, from 1.
    rows: int
    columns: Mapping[str, pa.Array | pa.ChunkedArray]
    numbers: np.ndarray | None = None  # int64 [rows], where they do not follow one another from `first`.
    locate: Callable[[int], tuple[int, str]] | None = None  # Number and text of a row, where finding it takes time.

    def number(self, row: int) -> int:
        """Of row `row` of this chunk in its file, counted in `unit`."""
        if self.locate is not None:
            return self.locate(row)[0]
        return self.first + row if self.numbers is None else int(self.numbers[row])

    def place(self, row: int) -> str:
        """Where row `row` of this chunk is, for an error message."""
        return f"{self.path}, {self.unit} {self.number(row):,}"

    def share(self, count: int) -> str:
        """So many rows of this chunk, in words."""
        return f"{count:,} of the {self.rows:,} rows from {self.unit} {self.first:,} on"

    def shown(self, row: int) -> tuple[str, str]:
        """`FILE:NUMBER` of a row, and what it holds."""
        if self.locate is not None:
            number, text = self.locate(row)
            return f"{self.path}:{number}", text
        values = {name: _shown(column.slice(row, 1)) for name, column in self.columns.items()}
        return f"{self.path}:{self.number(row)}", str(values)

    def without(self, rows: np.ndarray) -> Chunk:
        """The other rows. `rows` are places."""
        kept = np.delete(np.arange(self.rows), rows)
        before, locate = self.numbers, self.locate
        columns = {name: _taken(column, kept) for name, column in self.columns.items()}
        return dataclasses.replace(
            self,
            rows=len(kept),
            columns=columns,
            numbers=self.first + kept if before is None else before[kept],
            locate=None if locate is None else lambda row: locate(int(kept[row])),
        )


def _shown(value: pa.Array | pa.ChunkedArray) -> Any:
    try:
        return value.to_pylist()[0]
    except UnicodeDecodeError:
        return value.cast(pa.large_binary()).to_pylist()[0]


def _taken(column: pa.Array | pa.ChunkedArray, rows: np.ndarray) -> pa.Array | pa.ChunkedArray:
    found = column.take(pa.array(rows, pa.int64()))
    if pa.types.is_dictionary(found.type):  # Of values that are gone the dictionary shall not tell.
        return found.cast(found.type.value_type).dictionary_encode()
    return found


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a log goes on: a place among its files and one in that file."""

    file: int = 0
    offset: int = 0  # Bytes of the (decompressed) text or records, rows of a Parquet file.
    number: int = 1  # Of the next line, record or row.


@dataclass(frozen=True, kw_only=True)
class Piece(ABC):
    """Bytes of a log that are read but not yet parsed; `parse` may run on any thread, in any process."""

    on_disk: int  # Bytes of the file, for the progress shown.
    after: Position = Position()  # Where the piece after this one begins.

    @abstractmethod
    def parse(self, rejected: Rejections | None = None) -> Chunk:
        """The piece's rows; those that cannot be read are left out and added to `rejected`.

        It depends on the piece alone. Raises `LogError` with the file and the line, without `rejected` also for a row.
        """


def check_columns(schema: Schema, names: list[str], path: Path) -> None:
    """Raise `LogError` when the log lacks a column that the schema reads, or has it twice."""
    for column in schema.columns:
        if names.count(column) == 1:
            continue
        if column in names:
            raise LogError(f"{path} has {names.count(column)} columns named {column!r}. Rename all but one of them.")
        raise LogError(
            f"{path} has no column {column!r}, which {_reader_of(schema, column)} reads.{did_you_mean(column, names)}"
        )


def _reader_of(schema: Schema, column: str) -> str:
    for role in ("weight", "group", "time"):
        if getattr(schema, role) == column:
            return f"`{role}`"
    if schema.label.column == column:
        return "the label"
    return next(f"feature {f.name!r}" for f in schema.features if column_of(f) == column)
