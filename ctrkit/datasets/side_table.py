"""A table of texts by integer key, on disk: a large log is joined with it a frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ctrkit.datasets.sources import undecodable


class SideTable:
    """Memory-mapped keys and texts: what a look-up touches comes into memory, no more.

    Keys that do not rise are sorted once, which takes 16 bytes a key.
    """

    def __init__(self, folder: Path) -> None:
        self._keys = _mapped(folder / "keys", np.int64)
        self._offsets = _mapped(folder / "offsets", np.int64)
        self._texts = _mapped(folder / "texts", np.uint8)
        order = folder / "order"
        self._order = _mapped(order, np.int64) if order.exists() else None

    @classmethod
    def build(cls, path: Path, frames: Iterator[pl.DataFrame], folder: Path) -> SideTable:
        """Put the first two columns of `frames` (int64 keys, texts) into `folder`, which is made.

        `path` is where they came from, for a message. Raises `LogError` for a key that is missing or there twice.
        """
        folder.mkdir(parents=True)
        at = 0
        with (
            open(folder / "keys", "wb") as keys,
            open(folder / "offsets", "wb") as offsets,
            open(folder / "texts", "wb") as texts,
        ):
            offsets.write(np.zeros(1, np.int64).tobytes())
            for frame in frames:
                if frame.to_series(0).null_count():
                    raise undecodable(path, ValueError("a row has no key"))
                ends, data = _joined(frame.to_series(1))
                keys.write(frame.to_series(0).to_numpy().astype(np.int64).tobytes())
                offsets.write((at + ends).tobytes())
                texts.write(data)
                at += len(data)
        found = _mapped(folder / "keys", np.int64)
        if (np.diff(found) <= 0).any():
            order = np.argsort(found, kind="stable")
            if (np.diff(found[order]) == 0).any():
                raise undecodable(path, ValueError("a key is there twice"))
            order.astype(np.int64).tofile(folder / "order")
            found[order].tofile(folder / "sorted")
            (folder / "sorted").replace(folder / "keys")
        return cls(folder)

    def texts(self, keys: pl.Series) -> pl.Series:
        """The text of each integer key; null where the key is null, or not in the table, or the text is empty."""
        wanted = keys.to_numpy(allow_copy=True) if keys.null_count() == 0 else keys.fill_null(-1).to_numpy()
        distinct, places = np.unique(wanted, return_inverse=True)
        at = np.searchsorted(self._keys, distinct)
        inside = np.minimum(at, max(0, len(self._keys) - 1))
        known = np.zeros(len(distinct), dtype=bool)
        if len(self._keys):
            known = (at < len(self._keys)) & (self._keys[inside] == distinct)
        rows = (inside if self._order is None else self._order[inside])[known]
        starts = self._offsets[rows]
        sizes = np.zeros(len(distinct), dtype=np.int64)
        sizes[known] = self._offsets[rows + 1] - starts
        ends = np.cumsum(sizes)
        at_texts = np.repeat(starts - (ends - sizes)[known], sizes[known]) + np.arange(ends[-1] if len(ends) else 0)
        found = pa.Array.from_buffers(
            pa.large_string(),
            len(distinct),
            [
                pa.py_buffer(np.packbits(sizes > 0, bitorder="little")),
                pa.py_buffer(np.concatenate([[0], ends])),
                pa.py_buffer(np.ascontiguousarray(self._texts[at_texts])),
            ],
        )
        return pl.Series(keys.name, found).gather(places)


def _joined(column: pl.Series) -> tuple[np.ndarray, memoryview]:
    """Texts one after the other, and where each ends; a null is empty."""
    array = column.fill_null("").to_arrow().cast(pa.large_string())
    _, offsets, data = array.buffers()
    stops = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return stops[1:] - stops[0], memoryview(data)[stops[0] : stops[-1]]


def _mapped(path: Path, dtype: type) -> np.ndarray:
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype=dtype)
