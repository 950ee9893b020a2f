"""The engine for a cluster: the same index and the same shards, byte for byte, as the engine for one machine."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from ctrkit.atomic import write_json
from ctrkit.errors import EngineError
from ctrkit.indexing import FeatureIndex
from ctrkit.records.empty import empty_log
from ctrkit.records.engine import INDEX, RECORDS, PrepareOptions
from ctrkit.records.rejections import Rejections, write_rejected
from ctrkit.records.spark.boundaries import find_boundaries
from ctrkit.records.spark.cluster import Cluster
from ctrkit.records.spark.options import SparkOptions
from ctrkit.records.spark.parting import count_parts, decide_parting
from ctrkit.records.spark.session import connected
from ctrkit.records.spark.shard_plan import PartPlan, plan
from ctrkit.records.spark.shares import shares_of
from ctrkit.records.spark.stored import STOPPED, Stored, Storing
from ctrkit.records.spark.vocabularies import learn_index
from ctrkit.records.spark.writing import write_records
from ctrkit.records.split import TRAIN, Split
from ctrkit.records.times import TIMES_FILE, merged_spans
from ctrkit.schema import Schema


@dataclass(frozen=True)
class SparkEngine:
    """Runs on the Spark session that there is, else on one of its own by `options`.

    Executors and driver must see the log and the work folder under the same paths. The log is parsed once; its chunks
    wait, encoded, on that disk. A task that is killed, retried or run twice writes under a name of its own, and the
    driver takes what the one attempt wrote that counts.
    """

    options: SparkOptions = field(default_factory=SparkOptions)
    resumes: ClassVar[bool] = False

    def run(
        self,
        schema: Schema,
        files: Sequence[Path],
        folder: Path,
        *,
        split: Split,
        options: PrepareOptions,
        index: FeatureIndex | None,
        extend: FeatureIndex | None = None,
    ) -> FeatureIndex:
        """See `Engine.run`. Raises `ConfigError` where Spark is not installed, `EngineError` where it fails."""
        folder = folder.absolute()
        with connected(self.options) as cluster, _own_folder(folder) as own:
            stored, rejected = _store(cluster, schema, files, own, split, options)
            parting = decide_parting(cluster, schema, split, stored, own)
            counted = count_parts(cluster, parting, stored)
            parts = [one.rows for one in counted]
            if index is None:
                boundaries = find_boundaries(cluster, schema, stored, parting, extend)
                trained = int(sum(rows[TRAIN] for rows in parts))
                index = learn_index(cluster, schema, stored, parting, boundaries, own, extend, trained)
            index.save(folder / INDEX)
            write_records(
                cluster, index, stored, parting, parts, _plans(parts, options), folder / RECORDS,
                options=options.writer, own=own, index_folder=folder / INDEX, schema=schema,
                broadcast_values=self.options.broadcast_values,
            )  # fmt: skip
            if options.rejection.skip:
                write_rejected(folder / RECORDS, rejected, sum(one.chunk.rows for one in stored))
            write_json(folder / RECORDS / TIMES_FILE, merged_spans(one.spans for one in counted))
        return index


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """A folder of this run alone: executors that outlive the driver of another run do not write there."""
    own = folder / f"spark-{uuid.uuid4().hex[:12]}"
    own.mkdir(parents=True)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _store(
    cluster: Cluster, schema: Schema, files: Sequence[Path], folder: Path, split: Split, options: PrepareOptions
) -> tuple[list[Stored], Rejections]:
    """Parse the log and put its chunks aside; and what was left out of it."""
    (folder / STOPPED).mkdir()
    shares = shares_of(cluster, schema, files, options.chunk_bytes)
    storing = Storing(
        schema=schema, split=split, folder=folder, chunk_bytes=options.chunk_bytes, bad_rows=options.rejection
    )
    stored: list[Stored] = []
    rejected, rows = Rejections(), 0
    for chunks in cluster.each("reading", shares, storing, tasks=len(shares)):
        if chunks is None:
            raise EngineError(
                "A part of the log was given up, but no other part is at fault. Run the same command again."
            )
        for one in chunks:
            rejected.add(one.chunk.rejected)
            if one.chunk.rows:
                stored.append(one.numbered(len(stored), rows))
                rows += one.chunk.rows
    options.rejection.check(rejected, rows)
    if rows == 0:
        raise empty_log(schema, files)
    return stored, rejected


def _plans(parts: Sequence[np.ndarray], options: PrepareOptions) -> dict[int, PartPlan]:
    """The shards of each part with rows."""
    plans: dict[int, PartPlan] = {}
    for part, rows in enumerate(np.sum(parts, axis=0).tolist()):
        if rows:
            plans[part] = plan(rows, sum(one.shards for one in plans.values()), options.writer)
    return plans
