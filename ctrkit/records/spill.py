"""Put arrays aside on disk and fetch them one by one, so that memory does not grow with the log.

A file ends with a description of its arrays and their checksum, so that a later process takes over what is whole.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa

from ctrkit.indexing.build import bytes_of

_MAGIC = b"CTRSPIL1"
_END = struct.Struct("<QI8s")  # Bytes of the description, its checksum, the magic.
_ALIGN = 64  # Bytes; mapped arrays are then aligned.
_AT_ONCE = 1 << 20  # Bytes.


class Spill:
    """Named files of named arrays. Two threads may use it at once if they put different files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._places: dict[tuple[str, str], tuple[np.dtype, tuple[int, ...], int]] = {}

    def put(self, file: str, arrays: Mapping[str, np.ndarray], told: Any = None) -> None:
        """Write `arrays` to a new file; `told` (JSON) is what `take` returns."""
        position, crc, places = 0, 0, {}
        with open(self._directory / file, "wb") as out:
            for key, array in arrays.items():
                places[key] = (array.dtype, array.shape, position)
                data = np.ascontiguousarray(array).data.cast("B") if array.size else b""
                padding = bytes(-len(data) % _ALIGN)
                for part in (*(bytes(data[at : at + _AT_ONCE]) for at in range(0, len(data), _AT_ONCE)), padding):
                    out.write(part)
                    crc = google_crc32c.extend(crc, part)
                position += len(data) + len(padding)
            described = {key: (dtype.str, shape, at) for key, (dtype, shape, at) in places.items()}
            text = json.dumps({"arrays": described, "bytes": position, "crc32c": crc, "told": told}).encode()
            out.write(text + _END.pack(len(text), google_crc32c.value(text), _MAGIC))
        self._places.update({(file, key): place for key, place in places.items()})

    def take(self, file: str) -> Any:
        """Take over a file that an earlier process put and return what it was `told`; None when it is not whole."""
        try:
            with open(self._directory / file, "rb") as read:
                size = read.seek(0, 2)
                read.seek(size - _END.size)
                length, text_crc, magic = _END.unpack(read.read())
                read.seek(size - _END.size - length)
                text = read.read(length)
                if magic != _MAGIC or google_crc32c.value(text) != text_crc:
                    return None
                description = json.loads(text)
                read.seek(0)
                left, crc = description["bytes"], 0
                while left and (part := read.read(min(left, _AT_ONCE))):
                    crc, left = google_crc32c.extend(crc, part), left - len(part)
                if left or crc != description["crc32c"] or size != description["bytes"] + length + _END.size:
                    return None
        except (OSError, ValueError, struct.error):
            return None
        for key, (dtype, shape, at) in description["arrays"].items():
            self._places[file, key] = (np.dtype(dtype), tuple(shape), at)
        return {} if description["told"] is None else description["told"]

    def get(self, file: str, key: str) -> np.ndarray:
        """Read one array."""
        dtype, shape, position = self._places[file, key]
        count = int(np.prod(shape))
        return np.fromfile(self._directory / file, dtype=dtype, count=count, offset=position).reshape(shape)

    def mapped(self, file: str, key: str) -> np.ndarray:
        """One array as the file's pages, which take no memory of the process's own; it outlives `remove`."""
        dtype, shape, position = self._places[file, key]
        if not int(np.prod(shape)):
            return np.empty(shape, dtype=dtype)
        return np.memmap(self._directory / file, dtype=dtype, mode="r", offset=position, shape=shape)

    @property
    def places(self) -> Mapping[tuple[str, str], tuple[np.dtype, tuple[int, ...], int]]:
        """Type, shape and place of each array, by file and name."""
        return self._places

    def has(self, file: str, key: str) -> bool:
        """Whether the array was put."""
        return (file, key) in self._places

    def strings(self, file: str, key: str) -> int:
        """How many strings `get_strings` would read."""
        return self._places[file, f"{key}.offsets"][1][0] - 1

    def get_strings(self, file: str, key: str) -> pa.StringArray:
        """Read what `strings(key, …)` was put."""
        offsets, blob = self.get(file, f"{key}.offsets").astype(np.int32), self.get(file, f"{key}.bytes")
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(blob)]
        return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)

    def keep_only(self, files: set[str]) -> None:
        """Delete all other files, whoever put them."""
        for path in self._directory.iterdir():
            if path.name not in files:
                path.unlink()
        self._places = {place: found for place, found in self._places.items() if place[0] in files}

    def remove(self) -> None:
        """Delete the files."""
        for file in {file for file, _ in self._places}:
            (self._directory / file).unlink(missing_ok=True)
        self._places.clear()


def strings(key: str, values: pa.LargeStringArray) -> dict[str, np.ndarray]:
    """Strings without nulls as the arrays to put."""
    blob, offsets = bytes_of(values)
    return {f"{key}.bytes": blob, f"{key}.offsets": small(offsets)}


def small(codes: np.ndarray) -> np.ndarray:
    """Numbers (not negative) in the narrowest type that holds them."""
    largest = int(codes.max()) if codes.size else 0
    for dtype in (np.uint8, np.uint16, np.int32):
        if largest <= np.iinfo(dtype).max:
            return codes.astype(dtype, copy=False)
    return codes
