"""How rarely each row of a fused table is read: one over its count in the training part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ctrkit.layers.layout import IndexLike, TableLayout


class CountedIndex(IndexLike, Protocol):
    """An index that knows how often it saw each value; `ctrkit.indexing.FeatureIndex` is one."""

    @property
    def vocabularies(self) -> Mapping[str, Any]: ...


def rarities(index: CountedIndex) -> np.ndarray:
    """One over the count of each row, float32 `(rows, 1)`, in the rows of `TableLayout.of(index)`.

    Known values have their counts; missing and out-of-vocabulary rows what is left of the training part. A field whose
    rows nobody counted (buckets of numbers and of hashes) counts as if all its rows were seen equally often.
    """
    layout = TableLayout.of(index)
    offsets = {place.name: place.offset for place in (*layout.user, *layout.item)}
    counts = {name: np.asarray(vocabulary.counts) for name, vocabulary in index.vocabularies.items()}
    seen = max([1, *(int(some.sum()) for some in counts.values())])  # Rows of the training part, or nearly.
    found = np.ones((layout.rows, 1), dtype="float32")
    for field in index.fields:
        known = counts.get(field.table, np.empty(0))
        start, end = offsets[field.name], offsets[field.name] + field.rows
        others = max(1, seen - int(known.sum())) if len(known) else seen / field.rows
        found[start : end - len(known), 0] = 1 / others
        found[end - len(known) : end, 0] = 1 / np.maximum(known, 1)  # Known values are the last rows of a field.
    return found
