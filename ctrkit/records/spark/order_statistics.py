"""The values at given places of each key's sorted values, however many there are and however one key outweighs others.

Values with their counts are sorted over all partitions by key and value, so a heavy key is many partitions' work. Only
the sizes of each partition's first and last key come to the driver.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from ctrkit.records.spark.cluster import Cluster, Frame

Places: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of int64 keys `[n]` and how many values each has `[n]`, the places asked for: int64 `[n, m]`, -1 for none."""

_FEWEST_ROWS = 10_000  # Counted values that are worth a task.
_MOST_ROWS = 1_000_000  # That a task holds at once: some 30 MB.
_ENDS = "partition int, first long, first_count long, last long, last_count long"


@contextlib.contextmanager
def order_statistics(cluster: Cluster, label: str, counted: Frame, places: Places, *, rows: int) -> Iterator[Frame]:
    """Inside the block, a frame `(key long, place int, value)`: for each key the value at each place asked for.

    Args:
      cluster: where.
      label: for the progress shown.
      counted: rows `(key long, value, count long)`; a value may come more than once.
      places: which places of a key's values, from 0 in rising order.
      rows: about how many rows `counted` has at most.
    """
    summed = counted.groupBy("key", "value").agg({"count": "sum"}).withColumnRenamed("sum(count)", "count")
    partitions = max(1, min(cluster.partitions, -(-rows // _FEWEST_ROWS)), -(-rows // _MOST_ROWS))
    spread = summed.repartition(1) if partitions == 1 else summed.repartitionByRange(partitions, "key", "value")
    ordered = spread.sortWithinPartitions("key", "value")
    ordered = ordered.selectExpr("key", "value", "count", "spark_partition_id() AS partition").persist()
    try:
        ends = cluster.rows(label, cluster.mapped(ordered, _ends, _ENDS))
        kind = dict(ordered.dtypes)["value"]
        yield cluster.mapped(
            ordered, _Found.after(sorted(map(tuple, ends)), places), f"key long, place int, value {kind}"
        )
    finally:
        with contextlib.suppress(Exception):  # The session may be gone.
            ordered.unpersist()


def _ends(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The first and the last key of a partition, and how many values each has in it."""
    first = last = partition = None
    first_count = last_count = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        keys, counts = _numpy(batch, "key"), _numpy(batch, "count")
        found, starts = np.unique(keys, return_index=True)
        sums = np.add.reduceat(counts, starts)
        partition = batch.column("partition")[0].as_py()
        first = int(found[0]) if first is None else first
        first_count += int(sums[0]) if found[0] == first else 0
        last_count = int(sums[-1]) + (last_count if last == int(found[-1]) else 0)
        last = int(found[-1])
    if first is not None:
        yield pa.record_batch(
            [
                pa.array([partition], pa.int32()),
                *(pa.array([value], pa.int64()) for value in (first, first_count, last, last_count)),
            ],
            names=["partition", "first", "first_count", "last", "last_count"],
        )


@dataclass(frozen=True)
class _Found:
    """Picks the values at the places that fall into a partition."""

    places: Places
    before: Mapping[int, int]  # By partition, how many values its first key has in earlier ones.
    totals: Mapping[int, int]  # By key that is first or last anywhere, how many values it has.

    @classmethod
    def after(cls, ends: list[tuple[int, int, int, int, int]], places: Places) -> _Found:
        before: dict[int, int] = {}
        totals: dict[int, int] = {}
        for partition, first, first_count, last, last_count in ends:
            before[partition] = totals.get(first, 0)
            totals[first] = totals.get(first, 0) + first_count
            if last != first:
                totals[last] = totals.get(last, 0) + last_count
        return cls(places, before, totals)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        table = pa.Table.from_batches([*batches])
        if not table.num_rows:
            return
        partition = table.column("partition")[0].as_py()
        keys, counts = _numpy(table, "key"), _numpy(table, "count")
        found, starts = np.unique(keys, return_index=True)
        upto = np.cumsum(counts)
        begin = upto[starts] - counts[starts]  # Values before each key, in this partition.
        here = np.add.reduceat(counts, starts)
        totals, offset = here.copy(), np.zeros(len(found), dtype=np.int64)
        for at in {0, len(found) - 1}:
            totals[at] = self.totals[int(found[at])]
        offset[0] = self.before[partition]
        wanted = self.places(found, totals)
        inside = wanted - offset[:, None]
        rows, columns = np.nonzero((wanted >= 0) & (inside >= 0) & (inside < here[:, None]))
        at = np.searchsorted(upto, begin[rows] + inside[rows, columns], side="right")
        values = table.column("value").combine_chunks().take(pa.array(at))
        yield pa.record_batch(
            [pa.array(found[rows]), pa.array(columns.astype(np.int32)), values], names=["key", "place", "value"]
        )


def _numpy(table: pa.Table | pa.RecordBatch, column: str) -> np.ndarray:
    return np.asarray(table.column(column))
