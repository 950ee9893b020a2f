"""The values of an index's vocabularies as a data frame; executors read their slices of the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from ctrkit.indexing import Vocabulary
from ctrkit.records.spark.cluster import Cluster, Frame

_AT_ONCE = 1_000_000  # Values that a task reads.


def known_values(cluster: Cluster, index: Path, wanted: Mapping[int, tuple[str, int, int]]) -> Frame:
    """Rows `(feature int, value binary, rank int)`.

    Args:
      cluster: where.
      index: folder of the index.
      wanted: by the number to call a feature by, its name and its first rank and the rank after the last.
    """
    slices = [
        (key, str(index / "vocabulary" / f"{name}.vocab"), first, min(first + _AT_ONCE, stop))
        for key, (name, start, stop) in wanted.items()
        for first in range(start, stop, _AT_ONCE)
    ]
    if not slices:
        return cluster.frame([None], lambda place, item: iter(()), "feature int, value binary, rank int")
    return cluster.frame(slices, _values, "feature int, value binary, rank int", tasks=len(slices))


def _values(place: int, item: tuple[int, str, int, int]) -> Iterator[pa.RecordBatch]:
    key, path, start, stop = item
    vocabulary = Vocabulary.load(path)
    offsets = vocabulary.offsets[start : stop + 1]
    blob = np.ascontiguousarray(vocabulary.blob[offsets[0] : offsets[-1]])
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets - offsets[0])), pa.py_buffer(blob)]
    values = pa.Array.from_buffers(pa.large_binary(), stop - start, buffers).cast(pa.binary())
    ranks = np.arange(start, stop, dtype=np.int32)
    keys = np.full(stop - start, key, dtype=np.int32)
    yield pa.record_batch([pa.array(keys), values, pa.array(ranks)], names=["feature", "value", "rank"])
