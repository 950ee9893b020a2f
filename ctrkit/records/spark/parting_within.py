"""Cut every group by itself: each one's last rows, however many rows one group has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctrkit.records.spark.cluster import OUTCOME, Cluster, outcome
from ctrkit.records.spark.order_statistics import order_statistics
from ctrkit.records.spark.stored import Stored
from ctrkit.records.spill import Spill
from ctrkit.records.split import Split

PARTED = "parted"  # Folder of a run.
_LABEL = "splitting within groups"


def cuts_within(
    cluster: Cluster, split: Split, stored: Sequence[Stored], folder: Path, *, text: bool
) -> dict[int, str]:
    """By the number of a chunk, the file that has the part of each of its rows: uint8 `[rows]`.

    `text`: the times that the split goes by are text.
    """
    (folder / PARTED).mkdir()
    kind = "binary" if text else "double"
    counted = cluster.frame(stored, partial(_count, split), f"key long, value {kind}, count long")
    rows = sum(one.chunk.rows for one in stored)
    with order_statistics(cluster, _LABEL, counted, partial(_places, split), rows=rows) as found:
        cuts = found.selectExpr("key", "IF(place = 0, value, NULL) AS validation", "IF(place = 1, value, NULL) AS test")
        cuts = cuts.groupBy("key").agg({"validation": "max", "test": "max"})
        cuts = cuts.selectExpr("key", "`max(validation)` AS validation", "`max(test)` AS test")
        here = cluster.frame(stored, _groups, "chunk long, at long, key long")
        joined = cluster.by_number(
            here.join(cuts, "key", "left"), "chunk", min(len(stored), cluster.tasks)
        ).sortWithinPartitions("chunk", "at")
        by_number = {one.chunk.number: one for one in stored}
        parted = cluster.mapped(
            joined.select("chunk", "validation", "test"), partial(_part, split, by_number, folder / PARTED),
            OUTCOME,
        )  # fmt: skip
        return dict(cluster.outcomes(_LABEL, parted))


def _times(split: Split, stored: Stored, spill: Spill) -> tuple[np.ndarray, pa.Array | None]:
    """What a chunk's rows are ordered by: float64 `[rows]`; or int64 codes `[rows]` and the text of each code."""
    chunk = stored.chunk
    if split.by == "random":
        return split.draws(chunk.first, chunk.rows), None
    if split.by == "order":
        return np.arange(chunk.first, chunk.first + chunk.rows, dtype=np.float64), None
    if stored.text_time is None:
        return spill.get(chunk.file, "time") + 0.0, None
    return spill.get(chunk.file, "time_code").astype(np.int64) - 1, spill.get_strings(chunk.file, "time_text").cast(
        pa.binary()
    )


def _count(split: Split, place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
    """Each group's times in a chunk."""
    spill = stored.open()
    times, text = _times(split, stored, spill)
    groups = spill.get(stored.chunk.file, "within")
    order = np.lexsort((times, groups))
    groups, times = groups[order], times[order]
    starts = np.flatnonzero(np.r_[True, (groups[1:] != groups[:-1]) | (times[1:] != times[:-1])])
    values = pa.array(times[starts]) if text is None else text.take(pa.array(times[starts]))
    counts = np.diff(np.r_[starts, len(groups)])
    yield pa.record_batch([pa.array(groups[starts]), values, pa.array(counts)], names=["key", "value", "count"])


def _places(split: Split, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Where validation and where test begins in each group."""
    shares = (split.validation + split.test, split.test)
    cuts: list[np.ndarray] = [sizes - (sizes * share + 0.5).astype(np.int64) for share in shares]
    return np.stack([np.where(cut < sizes, cut, -1) for cut in cuts], axis=1)


def _groups(place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
    """The distinct groups of a chunk, rising."""
    groups = np.unique(stored.open().get(stored.chunk.file, "within"))
    columns = [np.full(len(groups), stored.chunk.number), np.arange(len(groups)), groups]
    yield pa.record_batch([pa.array(column) for column in columns], names=["chunk", "at", "key"])


def _part(
    split: Split, stored: dict[int, Stored], folder: Path, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Write the parts of each chunk, given the cuts of its distinct groups."""
    table = pa.Table.from_batches([*batches])
    numbers = table.column("chunk").to_numpy() if table.num_rows else np.empty(0, dtype=np.int64)
    for number in np.unique(numbers).tolist():
        first, last = np.searchsorted(numbers, [number, number + 1]).tolist()
        cuts = table.slice(first, last - first)
        one = stored[number]
        spill = one.open()
        times, text = _times(split, one, spill)
        group = np.unique(spill.get(one.chunk.file, "within"), return_inverse=True)[1]
        part = np.zeros(one.chunk.rows, dtype="u1")
        for name in ("validation", "test"):
            part += _from(times, text, cuts.column(name).combine_chunks(), group)
        path = folder / f"{number}-{uuid.uuid4().hex[:12]}"
        part.tofile(path)
        yield outcome(number, (number, str(path)))


def _from(times: np.ndarray, text: pa.Array | None, cuts: Any, group: np.ndarray) -> np.ndarray:
    """Whether each row's time is its group's cut or later; a group may have none."""
    if text is None:
        known = cuts.is_valid().to_numpy(zero_copy_only=False)
        values = cuts.fill_null(0.0).to_numpy(zero_copy_only=False)
        return known[group] & (times >= values[group])
    late = pc.greater_equal(text.take(pa.array(times)), cuts.take(pa.array(group)))
    return late.fill_null(False).to_numpy(zero_copy_only=False)
