"""Draw rows from the whole of a log in one pass and bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ctrkit.errors import LogError
from ctrkit.progress import progress
from ctrkit.records.log import read_pieces
from ctrkit.schema import Categorical, Label, Schema
from ctrkit.sketching.layout import Layout

CELLS = 6_000_000  # Values that are kept; 150,000 rows of 40 columns.
MOST_ROWS = 200_000  # Beyond, a guess gets no better.
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows in the log's order, drawn evenly; text columns are strings, null where empty."""

    frame: pl.DataFrame
    rows: int  # Of the whole log.

    @property
    def scale(self) -> float:
        """Rows of the log for each that was kept."""
        return self.rows / max(1, self.frame.height)


def read_sample(files: list[Path], layout: Layout, *, seed: int = 0) -> Sample:
    """Read the log once and keep so many rows as `CELLS` allows. Raises `LogError` where it cannot be read."""
    names = [name for name in layout.columns if name.strip()]
    schema = Schema(
        label=Label(column=names[0]),
        features=tuple(Categorical(name=f"f{i}", column=name) for i, name in enumerate(names)),
        format=layout.format,
    )
    most = min(MOST_ROWS, max(1, CELLS // len(names)))
    random, share, total = np.random.default_rng(seed), 1.0, 0
    kept: list[pl.DataFrame] = []
    size = sum(path.stat().st_size for path in files)
    with progress("looking at the log", total=size, unit="bytes") as shown:
        for piece in read_pieces(files, schema, chunk_bytes=_CHUNK_BYTES):
            chunk = piece.parse()
            total += chunk.rows
            drawn = np.flatnonzero(random.random(chunk.rows) < share)
            if len(drawn):
                kept.append(pl.DataFrame({name: _series(chunk.columns[name], drawn) for name in names}))
            while sum(frame.height for frame in kept) > most:
                share /= 2
                kept = [frame.filter(pl.Series(random.random(frame.height) < 0.5)) for frame in kept]
            shown.advance(piece.on_disk)
    if not total:
        raise LogError(f"{files[0]} has no rows. Nothing can be told from an empty log.")
    return Sample(frame=pl.concat(kept, how="vertical_relaxed").rechunk(), rows=total)


def _series(column: pa.Array | pa.ChunkedArray, rows: np.ndarray) -> pl.Series:
    taken = column.take(pa.array(rows))
    if isinstance(taken, pa.ChunkedArray):
        taken = taken.combine_chunks()
    if pa.types.is_dictionary(taken.type):
        taken = taken.dictionary_decode()
    series = pl.Series(taken)
    if series.dtype in (pl.Categorical, pl.Binary, pl.Boolean) or isinstance(series.dtype, pl.Enum):
        return series.cast(pl.String)
    return series
