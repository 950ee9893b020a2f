"""Learn an index from encoded chunks, column by column, and look up the rows of every chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.indexing.build import NumberCounts, learn_boundaries, learn_vocabulary
from ctrkit.indexing.columns import number_rows, token_rows
from ctrkit.indexing.extend import extended_vocabulary
from ctrkit.indexing.growth import bucket_drift, extended_index, vocabulary_growth
from ctrkit.indexing.hashing import combine_many, hash64_many
from ctrkit.indexing.lookup import CROSS_SEPARATOR
from ctrkit.progress import Progress, progress
from ctrkit.records.encode import EncodedChunk, use_of
from ctrkit.records.spill import Spill, small, strings
from ctrkit.records.words import unified
from ctrkit.records.workers import Workers
from ctrkit.schema import Categorical, Cross, Feature, Hashed, Numeric, Schema
from ctrkit.schema import Sequence as SequenceFeature

_SIDE_BY_SIDE = 2  # Of features that need much memory.
_MANY = 400_000  # Distinct strings of chunks; fitting takes about 80 bytes for each.
_Tokens: TypeAlias = Categorical | Hashed | Cross


class Fitting:
    """One column's distinct values are in memory at a time and thread; what a chunk's codes mean goes to the spill.

    The spill's file `rows-<feature>` holds, by chunk number, the int32 row of every code of the feature.
    """

    def __init__(
        self,
        schema: Schema,
        chunks: Sequence[EncodedChunk],
        spill: Spill,
        *,
        trained: Sequence[np.ndarray],
        index: FeatureIndex | None,
        extend: FeatureIndex | None = None,
        rows_of: Callable[[Feature, Vocabulary | None, pa.LargeStringArray], np.ndarray] = token_rows,
    ) -> None:
        self.schema, self.chunks, self.spill, self._trained, self._index = schema, chunks, spill, trained, index
        self._extended = extend
        self._rows_of = rows_of  # How tokens are looked up.
        self._statistics: dict[str, dict[str, int]] = {}
        self._buckets: dict[str, list[int]] = {}  # Training rows in each row of a numeric feature.
        self._growth: dict[str, dict[str, Any]] = {}

    def fit(self, workers: Workers) -> FeatureIndex:
        """Learn the index, or look up the rows under the one that was given, and return it."""
        with progress("indexing", total=len(self.schema.features), unit="features") as shown:
            boundaries = self._fit_numeric(workers, shown)
            self._prepare_crosses(workers)
            vocabularies = self._fit_vocabularies(workers, shown)
            lists = [feature for feature in self.schema.features if isinstance(feature, SequenceFeature)]
            for _ in workers.map(lambda f: self._put_shared_rows(f, vocabularies.get(f.of)), lists):
                shown.advance(1)
        if self._index is not None:
            return self._index
        rows = int(sum(int(mask.sum()) for mask in self._trained))
        names = [feature.name for feature in self.schema.features]
        statistics = {
            "train_rows": rows,
            "features": {name: self._statistics[name] for name in names if name in self._statistics},
            "buckets": {name: self._buckets[name] for name in names if name in self._buckets},
        }
        if self._extended is None:
            return FeatureIndex(self.schema, vocabularies, boundaries, statistics)
        growth = {name: self._growth[name] for name in names if name in self._growth}
        return extended_index(self.schema, self._extended, vocabularies, boundaries, statistics, growth)

    def _fit_numeric(self, workers: Workers, shown: Progress) -> dict[str, tuple[float, ...]]:
        features = [feature for feature in self.schema.features if isinstance(feature, Numeric)]
        boundaries = {}
        for feature, cuts in zip(features, workers.map(self._fit_numbers, features, ahead=len(features)), strict=True):
            boundaries[feature.name] = cuts
            shown.advance(1)
        return boundaries

    def _prepare_crosses(self, workers: Workers) -> None:
        crosses = [feature for feature in self.schema.features if isinstance(feature, Cross)]
        parts = dict.fromkeys(part for cross in crosses if cross.buckets is not None for part in cross.of)
        list(workers.map(self._put_hashes, [self.schema[part] for part in parts]))
        for cross in crosses:
            if cross.buckets is None:
                list(workers.map(partial(self._combine, cross), self.chunks))

    def _fit_vocabularies(self, workers: Workers, shown: Progress) -> dict[str, Vocabulary]:
        """Vocabularies of the features that learn one; of hashed features the rows alone are put aside."""
        features = [
            feature
            for feature in self.schema.features
            if isinstance(feature, (Categorical, Hashed)) or (isinstance(feature, Cross) and feature.buckets is None)
        ]
        found: dict[str, Vocabulary | None] = {}
        jobs = self._jobs(features)
        fitted = workers.map(lambda job: {f.name: self._fit_tokens(f) for f in job}, jobs, ahead=len(jobs))
        for learned in fitted:
            found |= learned
            shown.advance(len(learned))
        return {f.name: vocabulary for f in features if (vocabulary := found[f.name]) is not None}

    # --- numbers ------------------------------------------------------------------------------------------------

    def _fit_numbers(self, feature: Numeric) -> tuple[float, ...]:
        use = use_of(feature)
        values = [self.spill.get(chunk.file, f"{use}.numbers") for chunk in self.chunks]
        given = self._index if self._index is not None else self._extended
        if given is not None:
            cuts = given.boundaries[feature.name]
        elif feature.boundaries is not None:
            cuts = feature.boundaries
        else:
            counts = NumberCounts()
            for chunk, numbers in zip(self.chunks, values, strict=True):
                counts.add(numbers, self._counts(chunk, f"{use}.codes", len(numbers)))
            cuts = learn_boundaries(feature, *counts.merged())
        rows = {str(c.number): number_rows(cuts, numbers) for c, numbers in zip(self.chunks, values, strict=True)}
        if self._index is None:
            self._count_buckets(feature, rows, len(cuts) + 3)
        self._put(feature, rows, learned=cuts)
        return cuts

    def _count_buckets(self, feature: Numeric, rows: Mapping[str, np.ndarray], size: int) -> None:
        found = np.zeros(size, dtype=np.int64)
        for chunk in self.chunks:
            here = rows[str(chunk.number)]
            found += np.bincount(here, self._counts(chunk, f"{use_of(feature)}.codes", len(here)), size).astype(
                np.int64
            )
        self._buckets[feature.name] = found.tolist()
        if self._extended is not None:
            before = self._extended.statistics.get("buckets", {}).get(feature.name)
            self._growth[feature.name] = bucket_drift(before, found)

    def _counts(self, chunk: EncodedChunk, codes: str, size: int, file: str | None = None) -> np.ndarray:
        """How often each code occurs in the chunk's training rows."""
        trained = self._trained[chunk.number]
        found = self.spill.get(chunk.file if file is None else file, codes)
        return np.bincount(found if trained.all() else found[trained], minlength=size)

    def _jobs(self, features: Sequence[_Tokens]) -> list[list[_Tokens]]:
        """Features to fit side by side, long jobs first; those that need much memory come in turn, in two jobs."""
        sizes = {f.name: sum(self.spill.strings(*self._file(f, c)) for c in self.chunks) for f in features}
        ordered = sorted(features, key=lambda f: -sizes[f.name])
        many = [f for f in ordered if sizes[f.name] > _MANY]
        in_turn = [many[place::_SIDE_BY_SIDE] for place in range(_SIDE_BY_SIDE)]
        return [*(job for job in in_turn if job), *([f] for f in ordered[len(many) :])]

    # --- tokens -------------------------------------------------------------------------------------------------

    def _file(self, feature: Feature, chunk: EncodedChunk) -> tuple[str, str]:
        """Where the spill has the codes and distinct tokens of a feature."""
        if isinstance(feature, Cross):
            return f"cross-{feature.name}-{chunk.number}", use_of(feature)
        return chunk.file, use_of(feature)

    def _unified(self, feature: Feature) -> tuple[pa.LargeStringArray, list[np.ndarray]]:
        """The distinct tokens of all chunks, and for each chunk the place of its tokens among them."""
        values, places = unified(self.spill.get_strings(*self._file(feature, chunk)) for chunk in self.chunks)
        return values.cast(pa.large_string()), places

    def _fit_tokens(self, feature: Categorical | Hashed | Cross) -> Vocabulary | None:
        values, places = self._unified(feature)
        pa.default_memory_pool().release_unused()  # The hash table of the values.
        vocabulary = None
        if not isinstance(feature, Hashed):
            vocabulary = self._index.vocabularies[feature.name] if self._index is not None else None
            if vocabulary is None:
                vocabulary = self._learn(feature, values, places)
        self._put_rows(feature, self._rows_of(feature, vocabulary, values), places, vocabulary)
        return vocabulary

    def _learn(self, feature: Categorical | Cross, values: pa.LargeStringArray, places: list[np.ndarray]) -> Vocabulary:
        counts, missing = np.zeros(len(values), dtype=np.int64), 0
        for chunk, place in zip(self.chunks, places, strict=True):
            file, use = self._file(feature, chunk)
            here = self._counts(chunk, f"{use}.codes", 1 + len(place), file)
            counts[place] += here[1:]  # The tokens of a chunk are distinct.
            missing += int(here[0])
        found = {"missing": missing, "distinct": int((counts > 0).sum())}
        if self._extended is not None:
            known = self._extended.vocabularies[feature.name]
            vocabulary = extended_vocabulary(feature, known, values, counts)
            out = int(counts.sum() + known.counts.sum() - vocabulary.counts.sum())
            before = self._extended.statistics.get("features", {}).get(feature.name, {})
            self._growth[feature.name] = vocabulary_growth(known, before, vocabulary, missing, out)
        else:
            vocabulary = learn_vocabulary(feature, values, counts)
            out = int(counts.sum() - vocabulary.counts.sum())
        self._statistics[feature.name] = {**found, "known": len(vocabulary), "out_of_vocabulary": out}
        return vocabulary

    def _put_shared_rows(self, feature: SequenceFeature, vocabulary: Vocabulary | None) -> None:
        values, places = self._unified(feature)
        self._put_rows(feature, self._rows_of(self.schema[feature.of], vocabulary, values), places)

    def _put_rows(
        self, feature: Feature, rows: np.ndarray, places: list[np.ndarray], vocabulary: Vocabulary | None = None
    ) -> None:
        missing = np.zeros(1, dtype=np.int32)
        tables = {str(c.number): np.concatenate([missing, rows[at]]) for c, at in zip(self.chunks, places, strict=True)}
        self._put(feature, tables, learned=vocabulary)

    def _put(
        self, feature: Feature, tables: Mapping[str, np.ndarray], *, learned: Vocabulary | tuple[float, ...] | None
    ) -> None:
        """Put the rows of a feature's codes aside, by chunk."""
        self.spill.put(f"rows-{feature.name}", tables)

    # --- crosses ------------------------------------------------------------------------------------------------

    def _put_hashes(self, feature: Feature) -> None:
        """For each chunk, the uint64 hash of every code of a part of a hashed cross; that of missing is not used."""
        if isinstance(feature, Numeric):
            tables = [self.spill.get(f"rows-{feature.name}", str(chunk.number)) for chunk in self.chunks]
            of_row = hash64_many(map(str, range(1 + max(int(rows.max(initial=0)) for rows in tables))))
            hashes = [of_row[rows] for rows in tables]
        else:
            values, places = self._unified(feature)
            of_place = np.concatenate([np.zeros(1, dtype=np.uint64), hash64_many(values.to_pylist())])
            hashes = [of_place[np.concatenate([[0], at + 1])] for at in places]
        self.spill.put(f"hash-{feature.name}", {str(c.number): h for c, h in zip(self.chunks, hashes, strict=True)})

    def _part(self, chunk: EncodedChunk, name: str) -> tuple[np.ndarray, pa.StringArray]:
        """Codes of a part of a cross, 0 where missing, and the token of each code from 1 on."""
        feature = self.schema[name]
        codes = self.spill.get(chunk.file, f"{use_of(feature)}.codes").astype(np.int64)
        if isinstance(feature, Numeric):
            rows = self.spill.get(f"rows-{name}", str(chunk.number))
            return rows[codes].astype(np.int64), pa.array(
                list(map(str, range(1, 1 + int(rows.max(initial=0))))), pa.string()
            )
        return codes, self.spill.get_strings(chunk.file, use_of(feature))

    def _combine(self, cross: Cross, chunk: EncodedChunk) -> None:
        """Put the distinct combinations of a chunk aside as if they were a column of the log."""
        parts = [self._part(chunk, name) for name in cross.of]
        present = np.flatnonzero(np.all([codes > 0 for codes, _ in parts], axis=0))
        combined = np.zeros(len(present), dtype=np.int64)
        first = combined
        for codes, tokens in parts:  # Numbered anew after each part: rows of a chunk times tokens fit in 63 bits.
            _, first, combined = np.unique(
                combined * (len(tokens) + 1) + codes[present], return_index=True, return_inverse=True
            )
        spelled = [tokens.take(pa.array(codes[present[first]] - 1)) for codes, tokens in parts]
        joined = pa.compute.binary_join_element_wise(*spelled, pa.scalar(CROSS_SEPARATOR))
        codes = np.zeros(chunk.rows, dtype=np.int64)
        codes[present] = combined + 1
        file, use = self._file(cross, chunk)
        self.spill.put(file, {f"{use}.codes": small(codes), **strings(use, joined)})

    # --- rows ---------------------------------------------------------------------------------------------------

    def ids(self, chunk: EncodedChunk, index: FeatureIndex) -> np.ndarray:
        """`int32 [rows, width]` of a chunk."""
        out = np.empty((index.width, chunk.rows), dtype=np.int32)
        for field in index.fields:
            feature = field.feature
            if isinstance(feature, Cross) and feature.buckets is not None:
                out[field.start] = self._hashed_cross(chunk, feature)
                continue
            file, use = self._file(feature, chunk)
            codes = self.spill.get(file, f"{use}.codes")
            rows = self.spill.get(f"rows-{field.name}", str(chunk.number))
            out[field.columns] = rows[codes].T if codes.ndim == 2 else rows[codes]
        return np.ascontiguousarray(out.T)

    def _hashed_cross(self, chunk: EncodedChunk, cross: Cross) -> np.ndarray:
        assert cross.buckets is not None
        hashes, present = [], np.ones(chunk.rows, dtype=bool)
        for name in cross.of:
            feature = self.schema[name]
            codes = self.spill.get(chunk.file, f"{use_of(feature)}.codes")
            present &= (self.spill.get(f"rows-{name}", str(chunk.number))[codes]) > 0
            hashes.append(self.spill.get(f"hash-{name}", str(chunk.number))[codes])
        rows = 2 + (combine_many(hashes) % np.uint64(cross.buckets)).astype(np.int32)
        return np.where(present, rows, 0).astype(np.int32)
