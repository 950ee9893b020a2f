"""Read a Parquet log in chunks of rows; errors name the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ctrkit.errors import LogError
from ctrkit.records.chunk import Chunk, Piece, Position, check_columns
from ctrkit.records.hive import partition_of, repeated
from ctrkit.records.rejections import Rejections
from ctrkit.schema import Schema


@dataclass(frozen=True, kw_only=True)
class ParquetPiece(Piece):
    """Some rows, already decoded."""

    chunk: Chunk

    def parse(self, rejected: Rejections | None = None) -> Chunk:
        return self.chunk


def parquet_pieces(
    path: Path, schema: Schema, chunk_rows: int, start: Position | None = None
) -> Iterator[ParquetPiece]:
    """Yield the rows of one file in pieces of `chunk_rows`, with the columns that Hive keeps in the names of folders.

    `start` tells at which row to begin: row groups before it are not read. Raises `LogError`.
    """
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            partition = {name: value for name, value in partition_of(path).items() if name not in names}
            check_columns(schema, [*names, *partition], path)
            own = [name for name in schema.columns if name not in partition]
            begin, total = Position() if start is None else start, max(1, file.metadata.num_rows)
            groups, skipped = _groups_from(file.metadata, begin.offset)
            first, size = begin.offset - skipped + 1, path.stat().st_size
            for whole in file.iter_batches(batch_size=chunk_rows, row_groups=groups, columns=own):
                batch = whole.slice(min(skipped, whole.num_rows))
                first, skipped = first + whole.num_rows - batch.num_rows, skipped - whole.num_rows + batch.num_rows
                if not batch.num_rows:
                    continue
                columns = {name: batch.column(name) for name in own}
                columns |= {n: repeated(v, batch.num_rows) for n, v in partition.items() if n in schema.columns}
                chunk = Chunk(path=path, unit="row", first=first, rows=batch.num_rows, columns=columns)
                first += batch.num_rows
                after = Position(file=begin.file, offset=first - 1, number=first)
                yield ParquetPiece(chunk=chunk, on_disk=size * batch.num_rows // total, after=after)
    except (pa.ArrowException, OSError) as error:
        raise LogError(
            f"{path} cannot be read as Parquet: {str(error).rstrip('.')}. It may be cut short or of another format; "
            "`format:` in the schema takes csv, tsv, parquet or tfrecord."
        ) from error


def _groups_from(metadata: pyarrow.parquet.FileMetaData, row: int) -> tuple[list[int], int]:
    """The row groups that hold rows from `row` on, and how many rows before it the first of them has."""
    ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)], dtype=np.int64)
    first = int(np.searchsorted(ends, row, side="right"))
    return list(range(first, len(ends))), row - (int(ends[first - 1]) if first else 0)
