"""Compute how evenly parameter servers are loaded by round robin, classic greedy and ours: Criteo at full size.

    python experiments/benchmarks/placement.py [--ps 2 4 8 16 64] [--batch 4096]

Nothing is allocated and nothing runs: sizes are Criteo's 26 cardinalities (33.7M rows) and 13 bucketized numbers, dims
16 and 1, a tower of 3x256, Adagrad on tables and Adam on the rest. No count of the real log is known here; those taken
follow Zipf's law: a feature of n values draws its k-th most frequent with probability log(1 + 1/k) / log(n + 1), over
36.7M training rows, and a value is counted at least once. The two classic strategies are shown both on a table for each
field, as models are commonly written, and on our fused tables, which they leave whole. A few seconds, most of a GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TRAIN_ROWS = 36_672_494  # Four fifths of the Kaggle log.
NUMERIC_BUCKETS = 40
STRATEGIES = ("round_robin", "greedy", "balanced")
TITLES = {"round_robin": "round robin", "greedy": "classic greedy", "balanced": "ours"}


def criteo_index():
    """A feature index with Criteo's sizes and counts, whose values have no names: only placement can use it."""
    from ctrkit.datasets.criteo_shape import CARDINALITIES
    from ctrkit.indexing import FeatureIndex, Vocabulary
    from ctrkit.schema import Categorical, Numeric, Schema

    boundaries = tuple(float(edge) for edge in range(NUMERIC_BUCKETS - 1))
    numbers = [Numeric(name=f"I{k}", boundaries=boundaries) for k in range(1, 14)]
    categories = [Categorical(name=f"C{k}") for k in range(1, 27)]
    vocabularies = {}
    for feature, rows in zip(categories, CARDINALITIES, strict=True):
        nameless = np.broadcast_to(np.int32(0), rows + 1)
        chances = np.log1p(1 / np.arange(1, rows + 1)) / np.log(rows + 1.0)
        counts = np.maximum(1, chances * TRAIN_ROWS).astype(np.int32)
        vocabularies[feature.name] = Vocabulary(np.empty(0, np.uint8), nameless, counts)
    schema = Schema(label="label", features=(*numbers, *categories))
    return FeatureIndex(schema, vocabularies, {f.name: boundaries for f in numbers}, {"train_rows": TRAIN_ROWS})


def fused_weights(index):
    """Wide & Deep as the zoo builds it: one table for each dim."""
    from ctrkit.models import wide_deep
    from ctrkit.training.cluster import weight_shapes

    return weight_shapes(lambda: wide_deep(index, dim=16, hidden=(256, 256, 256)))


def weights_by_field(index, fused):
    """The same model as it is commonly written: two tables for each field, then the tower."""
    from ctrkit.training.cluster import WeightShape

    tables = [
        WeightShape(name=f"{field.name}/{kind}", shape=(field.rows, dim), is_table=True, fields=(field.name,))
        for kind, dim in (("deep", 16), ("wide", 1))
        for field in index.fields
    ]
    return [*tables, *(weight for weight in fused if not weight.is_table)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ps", type=int, nargs="+", default=[2, 4, 8, 16, 64], help="numbers of parameter servers")
    parser.add_argument("--batch", type=int, default=4096, help="rows a step and worker")
    options = parser.parse_args()

    from ctrkit.training.cluster import items_of, plan
    from ctrkit.training.cluster.placement.table import size

    index = criteo_index()
    fused = fused_weights(index)
    start = time.perf_counter()
    models = {
        name: items_of(weights, index, batch_size=options.batch, table_slots=1, dense_slots=2)
        for name, weights in (("a table for each field", weights_by_field(index, fused)), ("fused tables", fused))
    }
    counted = time.perf_counter() - start
    for what in ("whole model", "tables alone"):
        chosen = {
            name: [item for item in items if what == "whole model" or item.reads is not None]
            for name, items in models.items()
        }
        items = chosen["fused tables"]
        held, moved = sum(item.bytes for item in items), sum(item.traffic for item in items)
        print(
            f"\n{what}: {size(held)} with slots, {size(moved)} a step and worker; largest over mean, bytes / traffic\n"
        )
        print(
            "| PS | " + " | ".join(f"{TITLES[s]}, {name}" for name in chosen for s in STRATEGIES) + " | parts of ours |"
        )
        print("|---" * (2 + 3 * len(chosen)) + "|")
        for ps in options.ps:
            start = time.perf_counter()
            plans = [plan(items, ps, strategy) for items in chosen.values() for strategy in STRATEGIES]
            seconds = time.perf_counter() - start
            cells = [f"{one.imbalance_bytes:.2f} / {one.imbalance_traffic:.2f}" for one in plans]
            parts = ", ".join(str(shard.parts) for shard in plans[-1].shards if shard.part == 0 and shard.parts > 1)
            print(f"| {ps} | {' | '.join(cells)} | {len(plans[-1].shards)} variables ({parts}) |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nCounting the traffic of {sum(f.rows for f in index.fields):,} rows took {counted:.1f} s, the last six "
        f"plans {seconds:.2f} s; {peak:,.0f} MB at most, most of them TensorFlow."
    )


if __name__ == "__main__":
    main()
