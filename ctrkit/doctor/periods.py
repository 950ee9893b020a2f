"""Cut a log into days, or where it tells no time into ten stretches, and into an earlier and a later window."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ctrkit.errors import LogError
from ctrkit.records import targets
from ctrkit.records.chunk import Chunk
from ctrkit.records.coded import Coded
from ctrkit.records.log import read_pieces
from ctrkit.records.times import time_unit
from ctrkit.schema import Cross, Schema

STRETCHES = 10
MOST_DAYS = 400  # More, and the log is cut into stretches.
_CHUNK_BYTES = 16 << 20
_A_DAY = {"D": 1, "h": 24, "m": 1_440, "s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_GUESSED = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))  # Units since 1970, by the size of a time.


class Periods:
    """The log's periods in order. `of(chunk, …)` gives the place of each row's period."""

    def __init__(self, names: Sequence[str], rows: Sequence[int] | None, reference: float, why_none: str) -> None:
        self.names, self.why_no_days = list(names), why_none
        self._place = {name: place for place, name in enumerate(names)}
        if rows is None:
            self.cut = max(1, round(reference * STRETCHES))
        else:
            upto = np.cumsum(rows)
            self.cut = int(np.clip(np.searchsorted(upto, reference * upto[-1]) + 1, 1, max(1, len(names) - 1)))

    @property
    def are_days(self) -> bool:
        return not self.why_no_days

    def of(self, chunk: Chunk, schema: Schema, begins: float) -> np.ndarray:
        """int32 `[rows]`; `begins` is the share of the log's bytes that lie before the chunk."""
        if not self.are_days:
            return np.full(chunk.rows, min(STRETCHES - 1, int(STRETCHES * begins)), dtype=np.int32)
        names, codes = day_codes(chunk, schema)
        return np.array([self._place[name] for name in names], dtype=np.int32)[codes]


def find_periods(schema: Schema, files: Sequence[Path], reference: float) -> Periods:
    """Read the times alone, and decide. Raises `LogError` for a log that does not fit its schema."""
    stretches = [f"{place + 1}/{STRETCHES}" for place in range(STRETCHES)]
    if schema.time is None:
        return Periods(stretches, None, reference, "the schema names no time column")
    feature = next(one for one in schema.features if not isinstance(one, Cross))
    narrow = dataclasses.replace(
        schema, features=tuple(f for f in schema.features if f.name in (feature.name, getattr(feature, "of", None)))
    )
    rows: dict[str, int] = {}
    for piece in read_pieces(files, narrow, chunk_bytes=_CHUNK_BYTES):
        try:
            names, codes = day_codes(piece.parse(), narrow)
        except LogError as error:
            return Periods(stretches, None, reference, str(error))
        for name, count in zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True):
            rows[name] = rows.get(name, 0) + count
        if len(rows) > MOST_DAYS:
            return Periods(stretches, None, reference, f"the times are of more than {MOST_DAYS} days")
    if len(rows) < 2:
        return Periods(stretches, None, reference, "all rows are of one day")
    days = sorted(rows, key=lambda name: (len(name), name) if name.lstrip("-").isdigit() else (0, name))
    return Periods(days, [rows[day] for day in days], reference, "")


def day_codes(chunk: Chunk, schema: Schema) -> tuple[list[str], np.ndarray]:
    """Names of the days of a chunk, and int `[rows]` into them. Raises `LogError` for a missing time."""
    times = targets.times(chunk, schema)
    if isinstance(times, Coded):  # Text: a date comes first in all that sorts.
        names, places = np.unique([str(value)[:10] for value in times.values.to_pylist()], return_inverse=True)
        return names.tolist(), places[times.codes - 1]
    unit = time_unit(chunk, schema) or _guessed(times)
    days, codes = np.unique(times if unit is None else np.floor(times / _A_DAY[unit]), return_inverse=True)
    if unit is None:
        return [f"{day:g}" if day % 1 else str(int(day)) for day in days.tolist()], codes
    return [str(np.datetime64(int(day), "D")) for day in days.tolist()], codes


def _guessed(times: np.ndarray) -> str | None:
    size = float(np.median(np.abs(times))) if len(times) else 0.0
    return next((unit for least, unit in _GUESSED if size >= least), None)
