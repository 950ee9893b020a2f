"""The log cut into shares that executors read side by side, each with the parser of the local engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ctrkit.records.chunk import Piece, Position
from ctrkit.records.log import read_pieces
from ctrkit.records.parquet_log import ParquetPiece
from ctrkit.records.spark.cluster import Cluster
from ctrkit.records.spark.text_cuts import text_cuts
from ctrkit.records.text_log import TextPiece
from ctrkit.records.text_stream import is_compressed, is_empty
from ctrkit.records.tfds_folder import is_tfrecord
from ctrkit.schema import Schema
from ctrkit.schema.schema import TEXT_FORMATS

_CHUNKS = 4  # Of a share: what is read beyond its end is little beside it.


@dataclass(frozen=True, kw_only=True)
class Share:
    """Some consecutive rows of one file."""

    number: int  # In the order of the log.
    path: Path
    leading: bool  # Whether the file is the first of the log.
    several: bool  # Whether the log has other files.
    start: Position = field(default_factory=Position)
    stop: int | None = None  # Offset after the last row, as `Position.offset` counts; None: the file's end.

    def pieces(self, schema: Schema, chunk_bytes: int) -> Iterator[Piece]:
        """The share's rows in order, in pieces of about `chunk_bytes`. Raises `LogError`."""
        files, start = [self.path], self.start
        if not self.leading:  # As a later file of the log is read.
            files, start = [self.path, self.path], dataclasses.replace(start, file=1)
        elif self.several and is_empty(self.path):
            files = [self.path, self.path]  # Refused, as it has to be.
        for piece in read_pieces(files, schema, chunk_bytes=chunk_bytes, start=start):
            beyond = 0 if self.stop is None else piece.after.offset - self.stop
            if beyond <= 0:
                yield piece
                continue
            shortened = _without_last(piece, beyond)
            if shortened is not None:
                yield shortened
            return


def _without_last(piece: Piece, count: int) -> Piece | None:
    """A piece without its last rows: `count` bytes of text, or rows. None where nothing is left."""
    if isinstance(piece, TextPiece):
        left = piece.stop - piece.start - count
        return dataclasses.replace(piece, stop=piece.stop - count) if left > 0 else None
    assert isinstance(piece, ParquetPiece)
    rows = piece.chunk.rows - count
    if rows <= 0:
        return None
    columns = {name: column.slice(0, rows) for name, column in piece.chunk.columns.items()}
    return dataclasses.replace(piece, chunk=dataclasses.replace(piece.chunk, rows=rows, columns=columns))


def shares_of(cluster: Cluster, schema: Schema, files: Sequence[Path], chunk_bytes: int) -> list[Share]:
    """The shares of all files in order: plain text by bytes, Parquet by row groups, other files whole."""
    size = _CHUNKS * chunk_bytes
    files = [path.absolute() for path in files]
    large = [n for n, path in enumerate(files) if path.stat().st_size > size and not is_tfrecord(path)]
    cuts: dict[int, list[Position]] = {}
    if schema.format.kind in TEXT_FORMATS:
        cuts = text_cuts(cluster, schema, {n: files[n] for n in large if not is_compressed(files[n])}, size)
    elif schema.format.kind == "parquet":
        found = cluster.each("scanning", large, lambda number: _row_group_cuts(files[number], size))
        cuts = dict(zip(large, found, strict=True))
    shares: list[Share] = []
    for number, path in enumerate(files):
        starts = [Position(), *cuts.get(number, [])]
        for start, after in zip(starts, [*starts[1:], None], strict=True):
            shares.append(
                Share(
                    number=len(shares),
                    path=path,
                    leading=number == 0,
                    several=len(files) > 1,
                    start=start,
                    stop=None if after is None else after.offset,
                )
            )
    return shares


def _row_group_cuts(path: Path, size: int) -> list[Position]:
    """Where row groups begin, about `size` bytes of the file apart."""
    try:
        metadata = pyarrow.parquet.read_metadata(path)
    except (pa.ArrowException, OSError):
        return []  # Whoever reads it will say why.
    cuts, row, waiting = [], 0, 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        held = sum(group.column(k).total_compressed_size for k in range(group.num_columns))
        if waiting and waiting + held > size:
            cuts.append(Position(offset=row, number=row + 1))
            waiting = 0
        waiting += held
        row += group.num_rows
    return cuts
