"""What one chunk adds to an index, and its rows under one: `Fitting`, where the log is a single chunk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.indexing.build import NumberCounts
from ctrkit.indexing.columns import token_rows
from ctrkit.records.encode import use_of
from ctrkit.records.fit import Fitting
from ctrkit.records.spark.parting import Parting
from ctrkit.records.spark.stored import Layers, Stored
from ctrkit.records.split import TRAIN
from ctrkit.records.workers import Workers
from ctrkit.schema import Categorical, Cross, Feature, Numeric, Schema

RowsOf = Callable[[Feature, Vocabulary | None, pa.LargeStringArray], np.ndarray]


class TokenCounts(NamedTuple):
    """How often each distinct token of a feature occurs in the chunk's training rows, and how many have none."""

    feature: str
    values: pa.StringArray
    counts: np.ndarray
    missing: int


@dataclass(frozen=True)
class _Boundaries:
    """As much of an index as numbers need."""

    boundaries: Mapping[str, tuple[float, ...]]
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict)


class OneChunk(Fitting):
    """A chunk that was put aside, on the executor that works on it."""

    def __init__(
        self,
        schema: Schema,
        stored: Stored,
        parting: Parting,
        *,
        index: FeatureIndex | None = None,
        rows_of: RowsOf = token_rows,
    ) -> None:
        layers: Layers = stored.open()
        self.part = parting.part(stored, layers)
        self.chunk = dataclasses.replace(stored.chunk, number=0)
        trained = [self.part == TRAIN]
        super().__init__(schema, [self.chunk], layers, trained=trained, index=index, rows_of=rows_of)

    def numbers(self, feature: Numeric) -> tuple[np.ndarray, np.ndarray]:
        """Distinct finite numbers of the training rows, rounded as they are counted, and their counts."""
        use, counts = use_of(feature), NumberCounts()
        numbers = self.spill.get(self.chunk.file, f"{use}.numbers")
        counts.add(numbers, self._counts(self.chunk, f"{use}.codes", len(numbers)))
        return counts.merged()

    def buckets(self, boundaries: Mapping[str, tuple[float, ...]]) -> Iterator[tuple[str, np.ndarray]]:
        """Of each numeric feature, how many training rows are in each of its rows. Crosses may then be counted."""
        self._index = _Boundaries(boundaries)  # type: ignore[assignment]
        for feature in self.schema.features:
            if isinstance(feature, Numeric):
                self._fit_numbers(feature)
                rows = {"0": self.spill.get(f"rows-{feature.name}", "0")}
                self._count_buckets(feature, rows, len(boundaries[feature.name]) + 3)
                yield feature.name, np.array(self._buckets[feature.name])

    def tokens(self) -> Iterator[TokenCounts]:
        """Of each feature that learns a vocabulary; `buckets` comes first."""
        for feature in self.schema.features:
            if isinstance(feature, Cross) and feature.buckets is None:
                self._combine(feature, self.chunk)
            elif not isinstance(feature, Categorical):
                continue
            file, use = self._file(feature, self.chunk)
            values = self.spill.get_strings(file, use)
            counts = self._counts(self.chunk, f"{use}.codes", 1 + len(values), file)
            yield TokenCounts(feature.name, values, counts[1:], int(counts[0]))

    def look_up(self) -> None:
        """Ask for the rows of all tokens."""
        with Workers(1) as workers:
            self.fit(workers)

    def all_ids(self) -> np.ndarray:
        """`int32 [rows, width]`, after `look_up`."""
        assert self._index is not None
        return self.ids(self.chunk, self._index)

    def array(self, name: str) -> np.ndarray:
        """`label`, `weight` or `group` of each row."""
        return self.spill.get(self.chunk.file, name)
