"""Read a log once, in bounded memory, and tell the facts that findings are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ctrkit.doctor.counted_values import DistinctRows
from ctrkit.doctor.options import DoctorOptions
from ctrkit.doctor.periods import Periods, find_periods
from ctrkit.doctor.watched import Watched
from ctrkit.indexing import FeatureIndex
from ctrkit.indexing.hashing import combine_many
from ctrkit.progress import progress
from ctrkit.records import targets
from ctrkit.records.chunk import Chunk
from ctrkit.records.log import read_pieces
from ctrkit.schema import Cross, Schema

_CHUNK_BYTES = 16 << 20


def examine(
    schema: Schema, files: Sequence[Path], options: DoctorOptions | None = None, *, index: FeatureIndex | None = None
) -> dict[str, Any]:
    """The facts of a log, as plain values: of `periods`, of `features`, of the `label` and of duplicated rows.

    Memory holds a chunk and `options.values` values of each feature. Crosses are judged by their parts.

    Args:
        schema: what the log's columns mean.
        files: the log, in its order.
        options: see `DoctorOptions`.
        index: where there is one already; tells what is out of vocabulary.
    Raises:
        LogError: the log does not fit its schema.
    """
    options = DoctorOptions() if options is None else options
    periods = find_periods(schema, files, options.reference)
    count = len(periods.names)
    watched = [
        Watched(feature, schema, index, count, options.values)
        for feature in schema.features
        if not isinstance(feature, Cross) and feature.name not in options.ignore
    ]
    rows, clicks, equal, chunks, before = np.zeros(count, dtype=np.int64), np.zeros(count), DistinctRows(), 0, 0
    total = sum(path.stat().st_size for path in files)
    with progress("examining", total=total, unit="bytes") as shown:
        for piece in read_pieces(files, schema, chunk_bytes=_CHUNK_BYTES):
            chunk = piece.parse()
            period = periods.of(chunk, schema, before / max(1, total))
            label = targets.labels(chunk, schema)
            half = np.random.default_rng([17, chunks]).integers(0, 2, chunk.rows)
            cell = (4 * (period >= periods.cut) + 2 * half + (label > 0)).astype(np.int64)
            hashes = [one.add(chunk, cell, period) for one in watched]
            equal.add(_row_hashes(chunk, schema, label, hashes))
            rows += np.bincount(period, minlength=count)
            clicks += np.bincount(period, label, count)
            chunks, before = chunks + 1, before + piece.on_disk
            shown.advance(piece.on_disk, note=f"{int(rows.sum()):,} rows")
    return _told(schema, files, periods, rows, clicks, equal, watched)


def _row_hashes(chunk: Chunk, schema: Schema, label: np.ndarray, features: list[np.ndarray]) -> np.ndarray:
    """A hash of all that the schema reads of each row: uint64 `[rows]`."""
    others = [name for name in (schema.time, schema.group, schema.weight) if name is not None]
    columns = [pl.Series(pl.from_arrow(chunk.columns[name])).cast(pl.String).hash(seed=3).to_numpy() for name in others]
    return combine_many([label.astype(np.uint64), *columns, *features])


def _told(
    schema: Schema,
    files: Sequence[Path],
    periods: Periods,
    rows: np.ndarray,
    clicks: np.ndarray,
    equal: DistinctRows,
    watched: Sequence[Watched],
) -> dict[str, Any]:
    rates = [float(c) / int(n) if n else None for c, n in zip(clicks, rows, strict=True)]
    return {
        "format_version": 1,
        "files": [str(path) for path in files],
        "rows": int(rows.sum()),
        "label": {"rule": str(schema.label), "rate": float(clicks.sum() / max(1, rows.sum())), "by_period": rates},
        "periods": {
            "names": periods.names,
            "rows": rows.tolist(),
            "cut": periods.cut,
            "are_days": periods.are_days,
            "why_no_days": periods.why_no_days,
        },
        "duplicates": equal.duplicates(),
        "features": {one.feature.name: one.facts(periods.cut) for one in watched},
    }
