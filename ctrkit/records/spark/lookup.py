"""Look up tokens on executors: the most frequent values of each vocabulary are broadcast, the rest of them is joined.

A chunk asks once for each of its distinct tokens, and frequent ones are never joined: no key is heavy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.indexing.build import bytes_of
from ctrkit.indexing.columns import rows_of_ranks, token_rows
from ctrkit.records.spark.cluster import Cluster, Frame
from ctrkit.records.spark.known import known_values
from ctrkit.records.spark.one_chunk import OneChunk, RowsOf
from ctrkit.records.spark.parting import Parting
from ctrkit.records.spark.stored import Stored
from ctrkit.schema import Categorical, Cross, Feature, Schema

COLUMNS = "chunk long, feature int, value binary"
_NO_FEATURE = -1  # Of a row that only tells that there is a chunk.


@dataclass(frozen=True)
class Heads:
    """An index whose vocabularies are cut after their most frequent values."""

    index: FeatureIndex
    cut: frozenset[str]  # Features of which there are more.

    @classmethod
    def of(cls, index: FeatureIndex, most: int) -> Heads:
        """`most` values of each vocabulary at most."""
        light = copy.copy(index)
        light.__dict__.pop("lookup", None)
        light.vocabularies = {name: _head(vocabulary, most) for name, vocabulary in index.vocabularies.items()}
        return cls(light, frozenset(name for name, whole in index.vocabularies.items() if len(whole) > most))


def _head(vocabulary: Vocabulary, most: int) -> Vocabulary:
    kept = min(len(vocabulary), most)
    offsets = np.array(vocabulary.offsets[: kept + 1])
    head = Vocabulary.of_bytes(np.array(vocabulary.blob[: offsets[-1]]), offsets, np.empty(0, dtype=np.int64))
    head.slots  # noqa: B018 - made here once, not in every process that it is sent to.
    return head


class Asking:
    """Collects the tokens of a chunk that the heads do not have."""

    def __init__(self, schema: Schema, parting: Parting, heads: Any) -> None:
        self._schema, self._parting, self._heads = schema, parting, heads

    def __call__(self, place: int, stored: Stored) -> Iterator[pa.RecordBatch]:
        heads: Heads = self._heads.value
        keys = {feature.name: key for key, feature in enumerate(self._schema.features)}
        asked: dict[str, list[pa.Array]] = {}

        def rows_of(owner: Feature, vocabulary: Vocabulary | None, values: pa.LargeStringArray) -> np.ndarray:
            if vocabulary is not None and owner.name in heads.cut:
                unknown = np.flatnonzero(vocabulary.ranks_of_bytes(*bytes_of(values)) < 0)
                asked.setdefault(owner.name, []).append(values.take(pa.array(unknown)).cast(pa.large_binary()))
            return np.zeros(len(values), dtype=np.int32)

        OneChunk(self._schema, stored, self._parting, index=heads.index, rows_of=rows_of).look_up()
        yield _asked(stored.chunk.number, _NO_FEATURE, pa.array([None], pa.binary()))
        for name, parts in asked.items():
            yield _asked(stored.chunk.number, keys[name], pa.chunked_array(parts).unique().cast(pa.binary()))


def _asked(chunk: int, feature: int, values: pa.Array) -> pa.RecordBatch:
    arrays = [np.full(len(values), chunk, dtype=np.int64), np.full(len(values), feature, dtype=np.int32)]
    return pa.record_batch([*(pa.array(array) for array in arrays), values], names=["chunk", "feature", "value"])


def tails(
    cluster: Cluster, schema: Schema, stored: Sequence[Stored], parting: Parting, heads: Any, cut: Mapping[str, int],
    index: Path, most: int,
) -> Frame:  # fmt: skip
    """Rows `(chunk, feature, value, rank)` of the tokens of each chunk that come after the heads.

    A chunk has at least one row. `cut` has the sizes of the vocabularies that were cut, `heads` is broadcast.
    """
    keys = {feature.name: key for key, feature in enumerate(schema.features)}
    asked = cluster.frame(stored, Asking(schema, parting, heads), COLUMNS)
    known = known_values(cluster, index, {keys[name]: (name, most, size) for name, size in cut.items()})
    joined = asked.join(known, ["feature", "value"], "left").where(f"rank IS NOT NULL OR feature = {_NO_FEATURE}")
    spread = cluster.by_number(
        joined.select("chunk", "feature", "value", "rank"), "chunk", min(len(stored), cluster.tasks)
    )
    return spread.sortWithinPartitions("chunk", "feature")


def looking_up(schema: Schema, heads: Heads, tail: pa.Table | None) -> RowsOf:
    """How the tokens of a chunk are looked up; `tail` has its rows of `tails`."""
    keys = {feature.name: key for key, feature in enumerate(schema.features)}

    def rows_of(owner: Feature, vocabulary: Vocabulary | None, values: pa.LargeStringArray) -> np.ndarray:
        if vocabulary is None:
            return token_rows(owner, None, values)
        assert isinstance(owner, (Categorical, Cross))
        ranks = vocabulary.ranks_of_bytes(*bytes_of(values))
        if owner.name in heads.cut and tail is not None:
            mine = tail.filter(pc.equal(tail.column("feature"), keys[owner.name]))
            places = pc.index_in(values.cast(pa.binary()), value_set=mine.column("value")).fill_null(-1)
            found = places.to_numpy(zero_copy_only=False)
            ranks[found >= 0] = mine.column("rank").to_numpy()[found[found >= 0]]
        return rows_of_ranks(owner, ranks, values)

    return rows_of
