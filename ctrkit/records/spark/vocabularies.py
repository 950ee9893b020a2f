"""Count the tokens of the training part on all executors, rank them, and write one file for each vocabulary."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.indexing.growth import bucket_drift, extended_index
from ctrkit.records.spark.cluster import OUTCOME, Cluster, Frame
from ctrkit.records.spark.known import known_values
from ctrkit.records.spark.one_chunk import OneChunk
from ctrkit.records.spark.parting import Parting
from ctrkit.records.spark.ranking import PARENT, VOCABULARIES, Learned, Ranking, Total
from ctrkit.records.spark.stored import Stored
from ctrkit.schema import Categorical, Cross, Numeric, Schema

_COUNTED = "feature int, value binary, count long"
_ARROW = pa.schema([("feature", pa.int32()), ("value", pa.binary()), ("count", pa.int64())])
_LABEL = "indexing"


@dataclass(frozen=True, kw_only=True)
class _Counting:
    """Counts of a chunk's training rows; a row without value tells how many rows miss the feature.

    Of a numeric feature the row in its table is the value.
    """

    schema: Schema
    parting: Parting
    boundaries: Mapping[str, tuple[float, ...]]

    def __call__(self, place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
        keys = {feature.name: key for key, feature in enumerate(self.schema.features)}
        chunk = OneChunk(self.schema, stored, self.parting)
        for name, rows in chunk.buckets(self.boundaries):
            yield _batch(keys[name], [str(row).encode() for row in range(len(rows))], rows)
        for found in chunk.tokens():
            seen = np.flatnonzero(found.counts)
            values = found.values.take(pa.array(seen)).cast(pa.binary())
            yield _batch(keys[found.feature], values, found.counts[seen])
            yield _batch(keys[found.feature], [None], np.array([found.missing]))


def _batch(key: int, values: Any, counts: np.ndarray) -> pa.RecordBatch:
    keys = np.full(len(counts), key, dtype=np.int32)
    return pa.record_batch(
        [pa.array(keys), pa.array(values, pa.binary()), pa.array(counts.astype(np.int64))], schema=_ARROW
    )


def learn_index(
    cluster: Cluster,
    schema: Schema,
    stored: Sequence[Stored],
    parting: Parting,
    boundaries: Mapping[str, tuple[float, ...]],
    folder: Path,
    extend: FeatureIndex | None,
    train_rows: int,
) -> FeatureIndex:
    """The index of the training part, or `extend` with it appended; `folder` gets the vocabularies' files."""
    (folder / VOCABULARIES).mkdir()
    if extend is not None:
        extend.save(folder / PARENT)
    counting = _Counting(schema=schema, parting=parting, boundaries=boundaries)
    counted = cluster.frame(stored, counting, _COUNTED).groupBy("feature", "value").agg({"count": "sum"})
    counted = counted.withColumnRenamed("sum(count)", "count").persist()
    try:
        totals = _totals(cluster, schema, counted)
        buckets = _buckets(cluster, schema, counted, boundaries)
        ranking = Ranking(
            schema=schema, folder=folder, totals=totals, parent=None if extend is None else extend.statistics
        )
        ranked = _ranked(cluster, schema, counted, extend, folder)
        found = cluster.outcomes(_LABEL, cluster.mapped(ranked, ranking, OUTCOME))
    finally:
        with contextlib.suppress(Exception):  # The session may be gone.
            counted.unpersist()
    learned = {one.feature: one for one in found}
    vocabularies = {name: Vocabulary.load(learned[name].path) for name in _names(schema) if name in learned}
    return _index(schema, vocabularies, boundaries, learned, buckets, extend, train_rows)


def _names(schema: Schema) -> list[str]:
    return [feature.name for feature in schema.features]


def _totals(cluster: Cluster, schema: Schema, counted: Frame) -> dict[str, Total]:
    flagged = counted.selectExpr(
        "feature", "IF(value IS NULL, count, 0) AS missing", "IF(value IS NULL, 0, 1) AS distinct",
        "IF(value IS NULL, 0, count) AS present",
    )  # fmt: skip
    summed = flagged.groupBy("feature").agg({"missing": "sum", "distinct": "sum", "present": "sum"})
    rows = cluster.rows("counting", summed.selectExpr("feature", "`sum(missing)`", "`sum(distinct)`", "`sum(present)`"))
    names = _names(schema)
    return {names[feature]: Total(missing, distinct, present) for feature, missing, distinct, present in rows}


def _buckets(
    cluster: Cluster, schema: Schema, counted: Frame, boundaries: Mapping[str, tuple[float, ...]]
) -> dict[str, np.ndarray]:
    """Training rows in each row of a numeric feature."""
    found = {name: np.zeros(len(cuts) + 3, dtype=np.int64) for name, cuts in boundaries.items()}
    if found:
        keys = ", ".join(str(key) for key, name in enumerate(_names(schema)) if name in found)
        for feature, row, count in cluster.rows("counting", counted.where(f"feature IN ({keys})")):
            found[schema.features[feature].name][int(bytes(row))] = count
    return found


def _ranked(cluster: Cluster, schema: Schema, counted: Frame, extend: FeatureIndex | None, folder: Path) -> Frame:
    """The values that pass their threshold, most frequent first, ties by value; a feature's are in one partition."""
    thresholds = [
        f"WHEN {key} THEN {feature.min_count}"
        for key, feature in enumerate(schema.features)
        if isinstance(feature, (Categorical, Cross)) and feature.min_count > 1
    ]
    enough = f"count >= CASE feature {' '.join(thresholds)} ELSE 1 END" if thresholds else "TRUE"
    numeric = [str(key) for key, feature in enumerate(schema.features) if isinstance(feature, Numeric)]
    if numeric:
        counted = counted.where(f"feature NOT IN ({', '.join(numeric)})")
    if extend is not None and extend.vocabularies:
        keys = {feature.name: key for key, feature in enumerate(schema.features)}
        known = known_values(
            cluster, folder / PARENT, {keys[n]: (n, 0, len(v)) for n, v in extend.vocabularies.items()}
        )
        counted = counted.join(known, ["feature", "value"], "left")
        enough = f"rank IS NOT NULL OR {enough}"
    kept = counted.where(f"value IS NULL OR {enough}").select("feature", "value", "count")
    spread = cluster.by_number(kept, "feature", max(1, min(len(schema.features), cluster.tasks)))
    return spread.sortWithinPartitions("feature", spread["count"].desc(), spread["value"].asc_nulls_last())


def _index(
    schema: Schema,
    vocabularies: Mapping[str, Vocabulary],
    boundaries: Mapping[str, tuple[float, ...]],
    learned: Mapping[str, Learned],
    buckets: Mapping[str, np.ndarray],
    extend: FeatureIndex | None,
    train_rows: int,
) -> FeatureIndex:
    names = _names(schema)
    statistics = {
        "train_rows": train_rows,
        "features": {name: learned[name].statistics for name in names if name in learned},
        "buckets": {name: buckets[name].tolist() for name in names if name in buckets},
    }
    if extend is None:
        return FeatureIndex(schema, vocabularies, boundaries, statistics)
    growth: dict[str, Any] = {name: learned[name].growth for name in names if name in learned}
    for name, found in buckets.items():
        growth[name] = bucket_drift(extend.statistics.get("buckets", {}).get(name), found)
    ordered = {name: growth[name] for name in names if name in growth}
    return extended_index(schema, extend, vocabularies, boundaries, statistics, ordered)
