"""Fitting that a killed process began: features whose rows were put aside whole are not fitted again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ctrkit.indexing import Vocabulary
from ctrkit.records.encode import EncodedChunk
from ctrkit.records.fit import Fitting
from ctrkit.schema import Categorical, Cross, Feature, Hashed, Numeric
from ctrkit.schema import Sequence as SequenceFeature

_PARTS = ("blob", "offsets", "counts")  # Arrays of a vocabulary, beside the rows of the chunks' codes.


class FittingAgain(Fitting):
    """Keeps what a feature learned with its rows; vocabularies then lie on disk, not in memory.

    The spill must hold nothing of other chunks.
    """

    def _put(
        self, feature: Feature, tables: Mapping[str, np.ndarray], *, learned: Vocabulary | tuple[float, ...] | None
    ) -> None:
        name, arrays, told = feature.name, dict(tables), {}
        for what, found in self._found().items():
            if name in found:
                told[what] = found[name]
        if isinstance(learned, Vocabulary):
            arrays |= dict(zip(_PARTS, (learned.blob, learned.offsets, learned.counts), strict=True))
        elif learned is not None:
            told["cuts"] = [cut.hex() for cut in learned]
        self.spill.put(f"rows-{name}", arrays, told)

    def _found(self) -> dict[str, dict[str, Any]]:
        return {"statistics": self._statistics, "buckets": self._buckets, "growth": self._growth}

    def _told(self, feature: Feature) -> dict[str, Any] | None:
        """What was told of a feature that was fitted before."""
        told: dict[str, Any] | None = self.spill.take(f"rows-{feature.name}")
        if told is not None:
            for what, found in self._found().items():
                if what in told:
                    found[feature.name] = told[what]
        return told

    def _fit_numbers(self, feature: Numeric) -> tuple[float, ...]:
        told = self._told(feature)
        return super()._fit_numbers(feature) if told is None else tuple(map(float.fromhex, told["cuts"]))

    def _fit_tokens(self, feature: Categorical | Hashed | Cross) -> Vocabulary | None:
        if self._told(feature) is None:
            super()._fit_tokens(feature)  # What it learns is put aside with the rows.
            pa.default_memory_pool().release_unused()
        if isinstance(feature, Hashed):
            return None
        if self._index is not None:
            return self._index.vocabularies[feature.name]
        return Vocabulary.of_bytes(*(self.spill.mapped(f"rows-{feature.name}", part) for part in _PARTS))

    def _put_shared_rows(self, feature: SequenceFeature, vocabulary: Vocabulary | None) -> None:
        if self._told(feature) is None:
            super()._put_shared_rows(feature, vocabulary)

    def _combine(self, cross: Cross, chunk: EncodedChunk) -> None:
        file, _ = self._file(cross, chunk)
        if self.spill.take(file) is None:
            super()._combine(cross, chunk)
