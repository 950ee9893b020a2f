"""The bytes of a text log, plain or gzip-compressed, as buffers of whole rows."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ctrkit.errors import LogError
from ctrkit.records.text_rows import last_row_end

LONGEST_LINE = 64 << 20  # Bytes; more without the end of a line is no log.
LONGEST_EMPTY = 4096  # Bytes of a compressed file of nothing, with the name and comment that gzip may keep.
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def whole_rows(
    path: Path, chunk_bytes: int, *, separator: str, quoted: bool, offset: int = 0
) -> Iterator[tuple[bytearray, int, int, bool]]:
    """Yield buffers, where their last whole row ends, the bytes of the file read for them, whether quotes are sound.

    `offset` is where in the decompressed text to begin, at the start of a row. Raises `LogError` for a file that is
    cut short, an endless line, another encoding or format.
    """
    rest = b""
    with open(path, "rb") as raw:
        stream = _stream(raw, path)
        _skip(stream, offset, raw, path)
        before = raw.tell() if offset else 0
        while True:
            buffer = bytearray(len(rest) + chunk_bytes)
            buffer[: len(rest)] = rest
            filled = len(rest) + _read(stream, memoryview(buffer)[len(rest) :], raw, path)
            position = raw.tell()
            ended = filled == len(rest)
            cut, sound = last_row_end(buffer, filled, separator=separator, quoted=quoted, final=ended)
            if ended:
                cut, sound = filled, False  # The last line may want its end: look again.
            if cut:
                yield buffer, cut, position - before, sound
                before = position
            if ended:
                return
            rest = bytes(memoryview(buffer)[cut:filled])
            if len(rest) > max(LONGEST_LINE, 2 * chunk_bytes):
                raise LogError(
                    f"{path}: no line ends within {len(rest) >> 20} MB. Is it a text log, with lines that end in "
                    "a line feed?"
                )


def is_compressed(path: Path) -> bool:
    """Whether a file can only be read from its beginning."""
    with open(path, "rb") as raw:
        return raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def is_empty(path: Path) -> bool:
    """Whether a file holds no bytes, decompressed where it is compressed."""
    size = path.stat().st_size
    if size == 0 or size > LONGEST_EMPTY or not is_compressed(path):
        return size == 0
    try:
        with gzip.open(path) as stream:
            return not stream.read(1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False  # Damaged, which whoever reads it is told.


def _stream(raw: IO[bytes], path: Path) -> IO[bytes]:
    """The text of an open file, decompressed when it is compressed."""
    magic = raw.read(4)
    raw.seek(0)
    if magic == b"PAR1":
        raise LogError(f"{path} is a Parquet file. Write `format: parquet` in the schema.")
    compressed = magic.startswith(_GZIP_MAGIC)
    if magic[::2] == b"\0\0" or magic[1::2] == b"\0\0" or (magic.startswith(_UTF16_MARKS) and b"\0" in magic):
        raise LogError(
            f"{path} is UTF-16 (it begins with {magic!r}), expected UTF-8. Convert the log first: "
            f"iconv -f utf-16 -t utf-8 {path.name} > utf8-{path.name}"
        )
    if path.suffix == ".gz" and magic and not compressed:
        raise LogError(f"{path} is named .gz but is not gzip-compressed (it begins with {magic!r}). Rename it.")
    return gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[return-value]


def _skip(stream: IO[bytes], offset: int, raw: IO[bytes], path: Path) -> None:
    """Go to a place in the text; what is compressed is decompressed up to there."""
    if stream is raw:
        raw.seek(offset)
        return
    spare = memoryview(bytearray(min(offset, 1 << 20)))
    while offset > 0:
        read = _read(stream, spare[:offset], raw, path)
        if not read:
            return
        offset -= read


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
