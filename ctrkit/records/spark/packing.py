"""The rows of a chunk, looked up and packed as records hold them, in bundles by the shard that they go to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ctrkit.records.layout import RowLayout
from ctrkit.records.spark.lookup import Heads, looking_up
from ctrkit.records.spark.one_chunk import OneChunk
from ctrkit.records.spark.parting import Parting
from ctrkit.records.spark.shard_plan import PartPlan
from ctrkit.records.spark.stored import Stored
from ctrkit.records.writer import WriterOptions
from ctrkit.schema import Schema

BUNDLES = "shard long, keys binary, rows binary"
"""Columns: keys are uint64, by which a shard's rows are ordered; rows int32, packed."""
BUNDLE_BYTES = 512 << 10  # Of the rows at most.


@dataclass(frozen=True, kw_only=True)
class Job:
    """What tasks need to know."""

    schema: Schema
    parting: Parting
    plans: Mapping[int, PartPlan]  # By part.
    layout: RowLayout
    options: WriterOptions
    before: Mapping[int, Sequence[int]]  # By chunk, the rows of each part in earlier chunks.
    stored: Mapping[int, Stored]
    heads: Any  # Broadcast `Heads`.
    folder: Path


def packed_alone(job: Job, place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
    """The bundles of a chunk whose tokens are all broadcast."""
    yield from _packed(job, stored, None)


def packed_by_chunk(job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The bundles of chunks whose ranks were joined; `batches` are rows of `lookup.tails`."""
    waiting: list[pa.RecordBatch] = []
    number: int | None = None
    for batch in batches:
        numbers = batch.column("chunk").to_numpy()
        cuts = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(numbers)]
        for start, stop in pairwise(cuts):
            if stop == start:
                continue
            if number is not None and numbers[start] != number:
                yield from _packed(job, job.stored[number], pa.Table.from_batches(waiting))
                waiting = []
            number = int(numbers[start])
            waiting.append(batch.slice(start, stop - start))
    if number is not None:
        yield from _packed(job, job.stored[number], pa.Table.from_batches(waiting))


def _packed(job: Job, stored: Stored, tail: pa.Table | None) -> Iterator[pa.RecordBatch]:
    """The rows of a chunk by shard, packed as records hold them, with the keys that order them."""
    heads: Heads = job.heads.value
    chunk = OneChunk(job.schema, stored, job.parting, index=heads.index, rows_of=looking_up(job.schema, heads, tail))
    chunk.look_up()
    ids = chunk.all_ids()
    label = chunk.array("label")
    weight = chunk.array("weight") if job.layout.has_weight else None
    group = chunk.array("group") if job.layout.has_group else None
    for part, plan in job.plans.items():
        rows = np.flatnonzero(chunk.part == part)
        if len(rows):
            packed = job.layout.pack(
                ids[rows],
                label[rows],
                None if weight is None else weight[rows],
                None if group is None else group[rows],
            )
            yield from _by_shard(plan, job.before[stored.chunk.number][part], packed)


def _by_shard(plan: PartPlan, first: int, packed: np.ndarray) -> Iterator[pa.RecordBatch]:
    keys = plan.keys(first, len(packed))
    shards = plan.shard_of(keys)
    order = np.argsort(shards, kind="stable")
    shards, keys, packed = shards[order], keys[order], packed[order]
    step = max(1, BUNDLE_BYTES // (4 * packed.shape[1]))
    starts = np.flatnonzero(np.r_[True, shards[1:] != shards[:-1]])
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(shards)], strict=True):
        cuts = range(start, stop, step)
        blobs = [[array[at : min(at + step, stop)].tobytes() for at in cuts] for array in (keys, packed)]
        numbers = pa.array(np.full(len(cuts), shards[start], dtype=np.int64))
        columns = [numbers, *(pa.array(blob, pa.binary()) for blob in blobs)]
        yield pa.record_batch(columns, names=["shard", "keys", "rows"])
