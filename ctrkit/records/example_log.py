"""Read a log of row-wise `tf.train.Example`s in TFRecord files, plain or gzip-compressed, in chunks of rows."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import google_crc32c
import numpy as np
import pyarrow as pa

from ctrkit.errors import LogError, did_you_mean
from ctrkit.records.block import FRAME_FOOTER, FRAME_HEADER
from ctrkit.records.chunk import Chunk, Piece, Position
from ctrkit.records.example_columns import PADDING, BadExampleError, Examples
from ctrkit.records.rejections import BadRowsError, Rejections
from ctrkit.schema import Schema, Sequence, column_of

_GZIP_MAGIC = b"\x1f\x8b"
_OURS = {"rows", "ids", "label"}  # The features of ctrkit's own records.
_AGAIN = "Fetch or write the file again."


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Some whole TFRecord records of a file."""

    path: Path
    buffer: bytes
    starts: list[int]  # Of the payloads.
    stops: list[int]
    first: int  # Number of the first record, from 1.
    on_disk: int  # Bytes of the file.
    after: int  # Byte of the decompressed file where the next record begins.

    def columns(
        self, wanted: Collection[str], lists: Collection[str], rejected: Rejections | None = None
    ) -> tuple[dict[str, pa.Array], set[str], np.ndarray]:
        """The wanted features as `Examples.columns` gives them, the names of all, and the places of the records.

        Records that cannot be read are left out and added to `rejected`. Raises `LogError`, without `rejected` also for
        such a record.
        """
        starts, stops = np.array(self.starts, dtype=np.int64), np.array(self.stops, dtype=np.int64)
        kept = self._with_right_sums(rejected)
        padded = np.frombuffer(self.buffer + bytes(PADDING), dtype=np.uint8)
        while True:
            examples = Examples(padded, starts[kept], stops[kept])
            try:
                return examples.columns(list(wanted), lists), examples.names, kept
            except BadExampleError as error:
                place = self.first + int(kept[error.row])
                if rejected is None:
                    raise BadRowsError(
                        f"{self.path}, record {place:,}: {error}. Mend the record.",
                        rows=kept[[error.row]],
                        reason="no example",
                    ) from error
                rejected.reject("no example", "", [(f"{self.path}:{place}", str(error))])
                kept = np.delete(kept, error.row)

    def _with_right_sums(self, rejected: Rejections | None) -> np.ndarray:
        """The places of the records whose payload has its checksum."""
        value, whole, kept = google_crc32c.value, self.buffer, []
        for place, (start, stop) in enumerate(zip(self.starts, self.stops, strict=True)):
            crc = value(whole[start:stop])
            if ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF == int.from_bytes(whole[stop : stop + 4], "little"):
                kept.append(place)
                continue
            told = "its bytes are not those that were written (the checksum differs)"
            if rejected is None:
                raise BadRowsError(
                    f"{self.path}, record {self.first + place:,}: {told}. {_AGAIN}",
                    rows=np.array([place]),
                    reason="checksum",
                )
            rejected.reject("checksum", "", [(f"{self.path}:{self.first + place}", told)])
        return np.array(kept, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class ExamplePiece(Piece):
    """Some whole records, not yet parsed."""

    frames: Frames
    schema: Schema
    leading: bool  # Whether the log begins here: then every column must be there.

    def parse(self, rejected: Rejections | None = None) -> Chunk:
        frames, wanted = self.frames, self.schema.columns
        lists = {str(column_of(feature)) for feature in self.schema.features if isinstance(feature, Sequence)}
        columns, names, kept = frames.columns(wanted, lists, rejected)
        if self.leading:
            self._check_names(names)
        return Chunk(
            path=frames.path,
            unit="record",
            first=frames.first,
            rows=len(kept),
            columns=columns,
            numbers=frames.first + kept,
        )

    def _check_names(self, names: set[str]) -> None:
        """Raise `LogError` for a column that none of the first records has, as a slip would go unseen."""
        for name in self.schema.columns:
            if name in names:
                continue
            if names >= _OURS:
                raise LogError(
                    f"{self.frames.path} holds records that ctrkit wrote (blocks of ids), which are prepared already. "
                    "Open them with ctrkit.records.Records.open, or name the raw log: data.path=FILES."
                )
            raise LogError(
                f"{self.frames.path}: none of the first {len(self.frames.starts):,} records has a feature {name!r}, "
                f"which the schema reads.{did_you_mean(name, names)}"
            )


def example_pieces(
    path: Path, schema: Schema, chunk_bytes: int, *, leading: bool, start: Position | None = None
) -> Iterator[ExamplePiece]:
    """Yield the records of one file, from `start` on, in pieces of about `chunk_bytes`.

    Raises `LogError` for a file cut short.
    """
    begin = Position() if start is None else start
    for frames in read_frames(path, chunk_bytes, begin):
        yield ExamplePiece(
            frames=frames,
            schema=schema,
            leading=leading and frames.first == 1,
            on_disk=frames.on_disk,
            after=Position(file=begin.file, offset=frames.after, number=frames.first + len(frames.starts)),
        )


def read_frames(path: Path, chunk_bytes: int, start: Position | None = None) -> Iterator[Frames]:
    """Yield the records of a file, plain or gzip-compressed. Raises `LogError` for a file cut short or damaged."""
    first, at, before = (1, 0, 0) if start is None else (start.number, start.offset, 0)
    with open(path, "rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[assignment]
        for skipped in range(0, at, chunk_bytes):
            _read(stream, min(chunk_bytes, at - skipped), path, raw)
        rest, ended, before = b"", False, raw.tell() if at else 0
        while not ended:
            read = _read(stream, chunk_bytes, path, raw)
            ended = len(read) < chunk_bytes
            buffer = rest + read
            starts, stops, used = _frames(buffer, path, first)
            rest = buffer[used:]
            if starts:
                position, at = raw.tell(), at + used
                yield Frames(
                    path=path,
                    buffer=buffer[:used],
                    starts=starts,
                    stops=stops,
                    first=first,
                    on_disk=position - before,
                    after=at,
                )
                first, before = first + len(starts), position
        if rest:
            raise LogError(
                f"{path} is cut short: record {first:,} has {len(rest):,} bytes, more were written. {_AGAIN}"
            )


def _read(stream: IO[bytes], count: int, path: Path, raw: IO[bytes]) -> bytes:
    try:
        parts: list[bytes] = []
        while count > 0 and (part := stream.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(
            f"{path} is cut short or damaged: decompression stopped at byte {raw.tell():,} of "
            f"{path.stat().st_size:,} ({error}). {_AGAIN}"
        ) from error


def _frames(buffer: bytes, path: Path, first: int) -> tuple[list[int], list[int], int]:
    """Starts and stops of the payloads of the whole records in `buffer`, and where the last of them ends."""
    starts: list[int] = []
    stops: list[int] = []
    at, end, value = 0, len(buffer), google_crc32c.value
    unpack = struct.Struct("<QI").unpack_from
    while at + FRAME_HEADER <= end:
        length, given = unpack(buffer, at)
        crc = value(buffer[at : at + 8])
        if ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF != given:
            place = first + len(starts)
            raise LogError(
                f"{path} is damaged at record {place:,}: the checksum of its length differs. {_AGAIN}"
                if place > 1
                else f"{path} is no TFRecord file, or is compressed otherwise than by gzip. `format:` in the schema "
                "(or data.format=NAME) takes csv, tsv, parquet or tfrecord."
            )
        start = at + FRAME_HEADER
        stop = start + length
        if stop + FRAME_FOOTER > end:
            break
        starts.append(start)
        stops.append(stop)
        at = stop + FRAME_FOOTER
    return starts, stops, at
