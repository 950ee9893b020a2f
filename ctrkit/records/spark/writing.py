"""Executors look up the rows of the chunks, hand them to one another by shard, and write the shards."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from ctrkit.errors import EngineError
from ctrkit.indexing import FeatureIndex
from ctrkit.records.disk import disk_errors
from ctrkit.records.layout import RowLayout
from ctrkit.records.manifest import Manifest, Shard
from ctrkit.records.shards import ShardStream
from ctrkit.records.spark.cluster import OUTCOME, Cluster, outcome
from ctrkit.records.spark.lookup import Heads, tails
from ctrkit.records.spark.packing import BUNDLE_BYTES, BUNDLES, Job, packed_alone, packed_by_chunk
from ctrkit.records.spark.parting import Parting
from ctrkit.records.spark.shard_plan import PartPlan
from ctrkit.records.spark.stored import Stored
from ctrkit.records.split import PARTS
from ctrkit.records.writer import WriterOptions
from ctrkit.schema import Schema

ATTEMPTS = "attempts"  # Folder of a run: shards as tasks write them, under names of their own.
_AT_ONCE = 16 << 20  # Bytes of bundles that are handed to Python.
_LABEL = "writing"


@dataclass(frozen=True)
class _Written:
    path: str
    shard: Shard
    label_sum: float


def write_records(
    cluster: Cluster,
    index: FeatureIndex,
    stored: Sequence[Stored],
    parting: Parting,
    parts: Sequence[np.ndarray],
    plans: Mapping[int, PartPlan],
    folder: Path,
    *,
    options: WriterOptions,
    own: Path,
    index_folder: Path,
    broadcast_values: int,
    schema: Schema,
) -> None:
    """Write `folder/<part>` of each part with rows.

    `parts` has, by chunk, the rows of each part; `own` is this run's folder.
    """
    before = np.cumsum([np.zeros_like(parts[0]), *parts[:-1]], axis=0)
    layout = RowLayout(width=index.width, has_weight=schema.weight is not None, has_group=schema.group is not None)
    attempts = own / ATTEMPTS
    attempts.mkdir()
    heads = Heads.of(index, broadcast_values)
    sent = cluster.broadcast(heads)
    job = Job(
        schema=schema,
        parting=parting,
        plans=plans,
        layout=layout,
        options=options,
        before={one.chunk.number: counts.tolist() for one, counts in zip(stored, before, strict=True)},
        stored={one.chunk.number: one for one in stored},
        heads=sent,
        folder=attempts,
    )
    if heads.cut:
        sizes = {name: len(index.vocabularies[name]) for name in heads.cut}
        asked = tails(cluster, schema, stored, parting, sent, sizes, index_folder, broadcast_values)
        packed = cluster.mapped(asked, partial(packed_by_chunk, job), BUNDLES)
    else:
        packed = cluster.frame(stored, partial(packed_alone, job), BUNDLES)
    shards = sum(plan.shards for plan in plans.values())
    spread = cluster.by_number(packed, "shard", max(1, min(shards, 4 * cluster.tasks))).sortWithinPartitions("shard")
    written = cluster.mapped(spread, partial(_written, job), OUTCOME)
    try:
        with cluster.batches_of(_AT_ONCE, _AT_ONCE // BUNDLE_BYTES):
            found = dict(cluster.outcomes(_LABEL, written))
    finally:
        with contextlib.suppress(Exception):  # It would go with the session.
            sent.destroy()
    for part, plan in plans.items():
        _commit(folder / PARTS[part], [found[plan.first + k] for k in range(plan.shards)], plan, job, index)


def _written(job: Job, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write the shards of a partition, which come one after another."""
    number: int | None = None
    keys: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for batch in batches:
        for shard, some_keys, some_rows in zip(*(batch.column(k).to_pylist() for k in range(3)), strict=True):
            if number is not None and shard != number:
                yield outcome(number, (number, _write_shard(job, number, keys, rows)))
                keys, rows = [], []
            number = shard
            keys.append(np.frombuffer(some_keys, dtype=np.uint64))
            rows.append(np.frombuffer(some_rows, dtype="<i4").reshape(-1, job.layout.words))
    if number is not None:
        yield outcome(number, (number, _write_shard(job, number, keys, rows)))


def _write_shard(job: Job, number: int, keys: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> _Written:
    """Write one shard where no other attempt writes, and describe it."""
    plan = next(plan for plan in job.plans.values() if plan.first <= number < plan.first + plan.shards)
    order = np.argsort(np.concatenate(keys))
    packed = np.concatenate(rows)[order]
    expected = plan.rows_of(number - plan.first)
    if len(packed) != expected:
        raise EngineError(
            f"Shard {number} got {len(packed):,} rows, expected {expected:,}: rows were lost or came twice between "
            "executors. Run the same command again."
        )
    own = job.folder / f"{number:06d}-{uuid.uuid4().hex[:12]}"
    with disk_errors(own):
        own.mkdir()
        stream = ShardStream(own, job.layout, block_rows=job.options.block_rows, shard_rows=job.options.shard_rows)
        stream.write(packed)
        (shard,) = stream.close()
    labels = packed[:, job.layout.width : job.layout.width + 1].view("<f4")
    return _Written(str(own / shard.name), shard, float(labels.sum(dtype=np.float64)))


def _commit(folder: Path, written: Sequence[_Written], plan: PartPlan, job: Job, index: FeatureIndex) -> None:
    """Take the shards of the attempts that count, and describe them."""
    folder.mkdir(parents=True)
    shards = []
    for number, one in enumerate(written):
        name = f"shard-{number:05d}-of-{len(written):05d}.tfrecord"
        Path(one.path).rename(folder / name)
        shards.append(Shard(name=name, rows=one.shard.rows, bytes=one.shard.bytes, crc32c=one.shard.crc32c))
    Manifest(
        directory=folder,
        fingerprint=index.fingerprint,
        width=job.layout.width,
        labels=job.layout.labels,
        has_weight=job.layout.has_weight,
        has_group=job.layout.has_group,
        rows=plan.rows,
        label_sums=(sum(one.label_sum for one in written),),
        block_rows=job.options.block_rows,
        seed=job.options.shuffle_seed,
        shards=tuple(shards),
    ).save()
