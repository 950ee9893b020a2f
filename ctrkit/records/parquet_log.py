"""Read a Parquet log in chunks of rows; errors name the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ctrkit.errors import LogError
from ctrkit.records.chunk import Chunk, Piece, check_columns
from ctrkit.records.hive import partition_of, repeated
from ctrkit.schema import Schema


@dataclass(frozen=True, kw_only=True)
class ParquetPiece(Piece):
    """Some rows, already decoded."""

    chunk: Chunk

    def parse(self) -> Chunk:
        return self.chunk


def parquet_pieces(path: Path, schema: Schema, chunk_rows: int) -> Iterator[ParquetPiece]:
    """Yield the rows of one file in pieces of `chunk_rows`, with the columns that Hive keeps in the names of folders.

    Raises `LogError`.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            partition = {name: value for name, value in partition_of(path).items() if name not in names}
            check_columns(schema, [*names, *partition], path)
            own = [name for name in schema.columns if name not in partition]
            first, total = 1, max(1, file.metadata.num_rows)
            size = path.stat().st_size
            for batch in file.iter_batches(batch_size=chunk_rows, columns=own):
                columns = {name: batch.column(name) for name in own}
                columns |= {n: repeated(v, batch.num_rows) for n, v in partition.items() if n in schema.columns}
                chunk = Chunk(path=path, unit="row", first=first, rows=batch.num_rows, columns=columns)
                yield ParquetPiece(chunk=chunk, on_disk=size * batch.num_rows // total)
                first += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise LogError(
            f"{path} cannot be read as Parquet: {str(error).rstrip('.')}. It may be cut short or of another format; "
            "`format:` in the schema takes csv, tsv, parquet or tfrecord."
        ) from error
