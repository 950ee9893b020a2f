"""Decide the part of every row on executors, as `ctrkit.records.parts` does on one machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctrkit.records.parts import times_of_two_kinds
from ctrkit.records.spark.cluster import Cluster
from ctrkit.records.spark.order_statistics import order_statistics
from ctrkit.records.spark.parting_within import cuts_within
from ctrkit.records.spark.stored import Stored
from ctrkit.records.spill import Spill
from ctrkit.records.split import PARTS, Split
from ctrkit.records.times import Span, chunk_spans
from ctrkit.schema import Schema

Cut = Any  # A time: float, bytes of a text, or None for no row.


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Tells the parts of a chunk's rows: by hash, by number, by two times, or from a file where groups are cut."""

    split: Split
    rows: int  # Of the log.
    cuts: tuple[Cut, Cut] = (None, None)  # From which time on a row is for validation, for test.
    files: Mapping[int, str] = field(default_factory=dict)  # By chunk.

    def part(self, stored: Stored, spill: Spill) -> np.ndarray:
        """The place in `PARTS` of each row: uint8 `[rows]`."""
        chunk = stored.chunk
        if self.split.within is not None:
            return np.fromfile(self.files[chunk.number], dtype="u1")
        if self.split.by == "random":
            return self.split.random()(chunk.first, chunk.rows, None)
        if self.split.by == "order":
            return self.split.by_order(self.rows)(chunk.first, chunk.rows, None)
        part = np.zeros(chunk.rows, dtype="u1")
        for cut in self.cuts:
            if cut is not None:
                part += _from(cut, stored, spill)
        return part


def _from(cut: Cut, stored: Stored, spill: Spill) -> np.ndarray:
    file = stored.chunk.file
    if stored.text_time is None:
        return spill.get(file, "time") >= cut
    late = pc.greater_equal(spill.get_strings(file, "time_text").cast(pa.binary()), pa.scalar(cut, pa.binary()))
    return late.to_numpy(zero_copy_only=False)[spill.get(file, "time_code").astype(np.int64) - 1]


def decide_parting(cluster: Cluster, schema: Schema, split: Split, stored: Sequence[Stored], folder: Path) -> Parting:
    """Find where the parts begin. Raises `LogError` when times are numbers here and text there."""
    rows = sum(one.chunk.rows for one in stored)
    if split.by == "time":
        _check_times(schema, stored)
    text = split.by == "time" and stored[0].text_time is not None
    if split.within is not None:
        return Parting(split=split, rows=rows, files=cuts_within(cluster, split, stored, folder, text=text))
    if split.by != "time":
        return Parting(split=split, rows=rows)
    places = [place if place < rows else -1 for place in split.cuts(rows)]
    counted = cluster.frame(stored, _count_times, f"key long, value {'binary' if text else 'double'}, count long")
    with order_statistics(
        cluster, "splitting by time", counted, lambda keys, totals: np.array([places] * len(keys)), rows=rows
    ) as found:
        cuts = {place: value for _, place, value in cluster.rows("splitting by time", found)}
    known = [None if cuts.get(k) is None else bytes(cuts[k]) if text else cuts[k] for k in range(2)]
    return Parting(split=split, rows=rows, cuts=(known[0], known[1]))


def _check_times(schema: Schema, stored: Sequence[Stored]) -> None:
    text = [one for one in stored if one.text_time is not None]
    if text and len(text) < len(stored):
        number = next(one for one in stored if one.text_time is None)
        raise times_of_two_kinds(schema, number.chunk.place, text[0].chunk.place, str(text[0].text_time))


def _count_times(place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
    spill, file = stored.open(), stored.chunk.file
    if stored.text_time is None:
        times, counts = np.unique(spill.get(file, "time") + 0.0, return_counts=True)
        values = pa.array(times)
    else:
        values = spill.get_strings(file, "time_text").cast(pa.binary())
        counts = np.bincount(spill.get(file, "time_code"), minlength=1 + len(values))[1:]
    keys = np.zeros(len(values), dtype=np.int64)
    yield pa.record_batch([pa.array(keys), values, pa.array(counts.astype(np.int64))], names=["key", "value", "count"])


# --- sizes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChunkParts:
    """What is known of the parts of a chunk."""

    rows: np.ndarray  # int64 [parts].
    spans: dict[str, Span | None]


def count_parts(cluster: Cluster, parting: Parting, stored: Sequence[Stored]) -> list[ChunkParts]:
    """Rows and times of each part of each chunk. Raises `LogError` when a part that was asked for came out empty."""

    def count(one: Stored) -> ChunkParts:
        spill = one.open()
        part = parting.part(one, spill)
        return ChunkParts(np.bincount(part, minlength=len(PARTS)), chunk_spans(parting.split, one.chunk, part, spill))

    found = cluster.each("splitting", stored, count)
    train, validation, test = np.sum([one.rows for one in found], axis=0).tolist()
    parting.split.check((train, validation, test), ties=parting.split.by == "time")
    return found
