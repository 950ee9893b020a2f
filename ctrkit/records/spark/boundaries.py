"""The boundaries of numeric features, from their sorted numbers in the training part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ctrkit.indexing import FeatureIndex
from ctrkit.indexing.build import boundaries_at, boundary_places
from ctrkit.records.spark.cluster import Cluster
from ctrkit.records.spark.one_chunk import OneChunk
from ctrkit.records.spark.order_statistics import order_statistics
from ctrkit.records.spark.parting import Parting
from ctrkit.records.spark.stored import Stored
from ctrkit.schema import Numeric, Schema


def find_boundaries(
    cluster: Cluster, schema: Schema, stored: Sequence[Stored], parting: Parting, given: FeatureIndex | None
) -> dict[str, tuple[float, ...]]:
    """Of each numeric feature: those of the index that is `given`, those it declares, or those its rule finds."""
    numeric = [feature for feature in schema.features if isinstance(feature, Numeric)]
    if given is not None:
        return {feature.name: given.boundaries[feature.name] for feature in numeric}
    learned = [feature for feature in numeric if feature.boundaries is None]
    found: dict[int, dict[int, float]] = {key: {} for key in range(len(learned))}
    if learned:
        counted = cluster.frame(stored, _Numbers(schema, parting, learned), "key long, value double, count long")
        rows = len(learned) * parting.rows
        with order_statistics(cluster, "counting numbers", counted, _Places(learned), rows=rows) as statistics:
            for key, place, value in cluster.rows("counting numbers", statistics):
                found[key][place] = value
    boundaries = {feature.name: feature.boundaries or () for feature in numeric}
    for key, feature in enumerate(learned):
        boundaries[feature.name] = boundaries_at(feature, [found[key][place] for place in sorted(found[key])])
    return boundaries


@dataclass(frozen=True)
class _Numbers:
    """Counts the numbers of a chunk."""

    schema: Schema
    parting: Parting
    features: Sequence[Numeric]

    def __call__(self, place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
        chunk = OneChunk(self.schema, stored, self.parting)
        for key, feature in enumerate(self.features):
            values, counts = chunk.numbers(feature)
            keys = np.full(len(values), key, dtype=np.int64)
            yield pa.record_batch([pa.array(keys), pa.array(values), pa.array(counts)], names=["key", "value", "count"])


@dataclass(frozen=True)
class _Places:
    """Which of each feature's sorted numbers its boundaries need."""

    features: Sequence[Numeric]

    def __call__(self, keys: np.ndarray, totals: np.ndarray) -> np.ndarray:
        wanted = [boundary_places(self.features[key], total) for key, total in zip(keys, totals.tolist(), strict=True)]
        table = np.full((len(keys), max(map(len, wanted), default=0)), -1, dtype=np.int64)
        for row, places in enumerate(wanted):
            table[row, : len(places)] = places
        return table
