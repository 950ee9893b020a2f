"""Find the files of a raw log and read them in chunks, whatever their format."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ctrkit.errors import ArtifactError, LogError
from ctrkit.records.chunk import Piece, Position
from ctrkit.records.example_log import example_pieces
from ctrkit.records.hive import files_below
from ctrkit.records.parquet_log import parquet_pieces
from ctrkit.records.text_log import text_pieces
from ctrkit.records.text_stream import is_empty
from ctrkit.records.tfds_folder import is_tfds, is_tfrecord, tfds_shards
from ctrkit.schema import Schema

Sources: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
PARQUET_ROW_BYTES = 256  # Assumed of a row in memory, to cut Parquet into chunks of about as many bytes as text.


def log_files(sources: Sources) -> list[Path]:
    """The files that paths, patterns such as `logs/*.csv` and folders stand for, in order.

    A folder may hold parts, as Spark writes them, folders `key=value` of parts, as Hive does, or a data set of
    tensorflow-datasets, whose splits follow one another.

    Raises `ArtifactError` when a path does not exist.
    """
    files: list[Path] = []
    for source in [sources] if isinstance(sources, (str, os.PathLike)) else sources:
        path = Path(source)
        if path.is_file():
            files.append(path)
        elif path.is_dir():
            found = tfds_shards(path) if is_tfds(path) else files_below(path)
            if not found:
                raise ArtifactError(f"{path} is a folder that holds no files. Give a file, or the folder of its parts.")
            files += found
        else:
            found = sorted(Path(p) for p in glob.glob(str(source), recursive=True) if Path(p).is_file())
            if not found:
                raise ArtifactError(
                    f"No log at {source} (from {Path.cwd()}). Give a file, a folder or a pattern such as 'logs/*.csv'."
                )
            files += found
    if not files:
        raise ArtifactError(f"No log files in {sources!r}. Give a file, a folder or a pattern such as 'logs/*.csv'.")
    return files


def read_pieces(
    files: Sequence[Path], schema: Schema, *, chunk_bytes: int, start: Position | None = None
) -> Iterator[Piece]:
    """Yield the log's rows in order, in pieces of about `chunk_bytes` of memory, from `start` on.

    Raises `LogError` for a file that cannot be read, whatever becomes of bad rows.
    """
    begin = Position() if start is None else start
    for number, path in enumerate(files):
        if number < begin.file:
            continue
        here = begin if number == begin.file else Position(file=number)
        try:
            if len(files) > 1 and is_empty(path):
                raise LogError(
                    f"{path} is empty (0 bytes), other files of the log are not. Fetch it again; if nothing is "
                    "missing, remove it or give it the line of column names."
                )
            if schema.format.kind == "tfrecord" or is_tfrecord(path):
                yield from example_pieces(path, schema, chunk_bytes, leading=number == 0, start=here)
            elif schema.format.kind == "parquet":
                yield from parquet_pieces(path, schema, max(1, chunk_bytes // PARQUET_ROW_BYTES), here)
            else:
                yield from text_pieces(path, schema, chunk_bytes, here)
        except OSError as error:
            raise LogError(f"Cannot read {path}: {error.strerror or error}.") from error


def read_head(schema: Schema, path: str | os.PathLike[str], rows: int) -> list[dict[str, Any]]:
    """The first `rows` impressions as mappings from the log's columns (those the schema reads) to raw values."""
    found: list[dict[str, Any]] = []
    for piece in read_pieces([Path(path)], schema, chunk_bytes=1 << 20):
        chunk = piece.parse()
        columns = {name: array.slice(0, rows - len(found)).to_pylist() for name, array in chunk.columns.items()}
        found += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        if len(found) >= rows:
            break
    return found
