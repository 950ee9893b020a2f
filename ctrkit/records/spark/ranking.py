"""Write the vocabularies: a task is handed a feature's values by rank, and writes the file that one machine would."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ctrkit.indexing import Vocabulary
from ctrkit.indexing.build import bytes_of
from ctrkit.indexing.extend import extended_vocabulary
from ctrkit.indexing.growth import vocabulary_growth
from ctrkit.records.spark.cluster import outcome
from ctrkit.schema import Categorical, Cross, Schema

VOCABULARIES, PARENT = "vocabularies", "parent"  # Folders of a run: what is written, and the index that is extended.


@dataclass(frozen=True)
class Total:
    """Of one feature's training rows."""

    missing: int
    distinct: int
    present: int


@dataclass(frozen=True)
class Learned:
    """A vocabulary that was written, and what is told of it."""

    feature: str
    path: str
    statistics: dict[str, int]
    growth: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Writes the vocabularies of a partition, whose values come in the order of their ranks."""

    schema: Schema
    folder: Path
    totals: Mapping[str, Total]
    parent: Mapping[str, Any] | None  # Statistics of the index that is extended.

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for key, parts in groupby(_by_feature(batches), key=lambda part: part[0]):
            yield outcome(key, self._written(self.schema.features[key], [part for _, part in parts]))

    def _written(self, feature: Any, parts: list[pa.RecordBatch]) -> Learned:
        assert isinstance(feature, (Categorical, Cross))
        table = pa.Table.from_batches(parts)
        table = table.filter(table.column("value").is_valid())
        values = table.column("value").cast(pa.large_binary()).combine_chunks().cast(pa.large_string())
        counts = table.column("count").to_numpy()
        total, growth = self.totals[feature.name], None
        if self.parent is None:
            kept = len(values) if feature.max_size is None else min(len(values), feature.max_size)
            vocabulary = Vocabulary.of_bytes(*bytes_of(values.slice(0, kept)), counts[:kept])
            out = total.present - int(vocabulary.counts.sum())
        else:
            known = Vocabulary.load(self.folder / PARENT / "vocabulary" / f"{feature.name}.vocab")
            vocabulary = extended_vocabulary(feature, known, values, counts)
            out = total.present + int(known.counts.sum()) - int(vocabulary.counts.sum())
            before = self.parent.get("features", {}).get(feature.name, {})
            growth = vocabulary_growth(known, before, vocabulary, total.missing, out)
        path = self.folder / VOCABULARIES / f"{feature.name}-{uuid.uuid4().hex[:12]}.vocab"
        vocabulary.save(path)
        statistics = {"missing": total.missing, "distinct": total.distinct}
        statistics |= {"known": len(vocabulary), "out_of_vocabulary": out}
        return Learned(feature.name, str(path), statistics, growth)


def _by_feature(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batches cut where another feature begins."""
    for batch in batches:
        keys = batch.column("feature").to_numpy()
        cuts = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1).tolist(), len(keys)]
        for start, stop in pairwise(cuts):
            if stop > start:
                yield int(keys[start]), batch.slice(start, stop - start)
