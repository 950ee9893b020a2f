"""Compare speeds of clusters of processes on this machine: overhead, placement, stragglers.

    python experiments/benchmarks/cluster_speed.py [overhead] [placement] [stragglers] [--rounds 3] [--rows 1000000]

- overhead: Criteo's shape (39 fields, dim 16, 3 x 256, 4,096 rows a step); one worker and one parameter server against
  training without a cluster.
- placement: a model whose work is its one large table (39 fields, dim 64, one small layer) on two parameter servers;
  ours, which splits the table, against round robin and the classic greedy placement.
- stragglers: 3 workers, synchronous, 256 rows of each in a step; with 2 gradients in an update (one backup) and with
  all 3, without and with a worker that sleeps 0.5 s in each step.

The ways take turns within each round; medians are compared. Each turn starts its processes anew: about 30 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from clusters import ctrkit, run_alone, run_cluster

from ctrkit.datasets import criteo_shaped

BATCH = 4096
SCHEMA = """
format: {kind: tsv, columns: [label, "I{1..13}", "C{1..26}"]}
label: label
features:
  I{1..13}: {kind: numeric, log: true}
  C{1..26}: {kind: categorical, min_count: 2}
"""
Way = Callable[[Path], float]  # From the folder of a run to its speed.


def words(work: Path, **more: object) -> list[str]:
    """`ctrkit train` on the log, nothing evaluated, nothing tracked."""
    keys = {
        "schema": "criteo_shape",
        "data": "files",
        "name": "shape",
        "root": work,
        "data.path": work / "log.tsv",
        "data.split.by": "order",
        "data.split.validation": 0.0,
        "data.split.test": 0.0,
        "tracking": "none",
        "training.early_stopping": "null",
        "training.evaluate_every": 100_000,
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    return [f"{key}={value}" for key, value in keys.items()]


def overhead(work: Path, steps: int) -> dict[str, Way]:
    """Samples/s."""
    network = {"model": "wide_deep", "model__hidden": "[256,256,256]", "training__batch_size": BATCH}
    alone = words(work, **network, training__max_steps=steps)
    cluster = words(work, training="async_ps", **network, training__max_steps=steps)
    return {
        "1 worker, 1 ps": lambda run: run_cluster(cluster, run, workers=1, ps=1, evaluator=False, threads=2)[
            "samples_per_second"
        ],
        "no cluster": lambda run: run_alone(alone, run)["samples_per_second"],
    }


def placement(work: Path, steps: int) -> dict[str, Way]:
    """Steps/s."""

    def way(strategy: str) -> Way:
        chosen = words(
            work,
            training="async_ps",
            model="wide_deep",
            model__dim=64,
            model__hidden="[8]",
            training__batch_size=BATCH,
            training__max_steps=steps,
            cluster__placement=strategy,
        )
        return lambda run: (
            run_cluster(chosen, run, workers=1, ps=2, evaluator=False, threads=1)["samples_per_second"] / BATCH
        )

    return {strategy: way(strategy) for strategy in ("balanced", "round_robin", "greedy")}


def stragglers(work: Path, steps: int) -> dict[str, Way]:
    """Steps/s."""

    def way(backups: int, delay: float) -> Way:
        rows = 256 * (3 - backups)
        chosen = words(
            work,
            training="sync_ps",
            model="wide_deep",
            model__hidden="[64]",
            training__batch_size=rows,
            training__max_steps=steps if backups or not delay else steps // 5,
            cluster__backups=backups,
        )
        delays = {"worker-1": delay} if delay else {}
        return lambda run: (
            run_cluster(chosen, run, workers=3, ps=2, evaluator=False, threads=1, delays=delays)["samples_per_second"]
            / rows
        )

    return {
        "2 of 3, none slow": way(1, 0.0),
        "2 of 3, one slow": way(1, 0.5),
        "3 of 3, none slow": way(0, 0.0),
        "3 of 3, one slow": way(0, 0.5),
    }


COMPARISONS = {"overhead": (overhead, 80), "placement": (placement, 150), "stragglers": (stragglers, 300)}


def compare(work: Path, name: str, rounds: int) -> None:
    make, steps = COMPARISONS[name]
    ways = make(work, steps)
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(1, rounds + 1):
        for count, (way, measure) in enumerate(ways.items()):
            found[way].append(measure(work / "shape" / "runs" / f"{name}-{number}-{count}"))
            print(f"{name}, round {number} of {rounds}: {way}: {found[way][-1]:,.1f}", file=sys.stderr, flush=True)
    unit = (make.__doc__ or "").rstrip(".").lower()
    first = statistics.median(next(iter(found.values())))
    print(f"\n| {name} | {unit}, median (lowest-highest) | first / this |\n|---|---|---|")
    for way, speeds in found.items():
        median = statistics.median(speeds)
        print(f"| {way} | {median:,.1f} ({min(speeds):,.1f}-{max(speeds):,.1f}) | {first / median:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", nargs="*", choices=[*COMPARISONS, []], default=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        criteo_shaped(work / "log.tsv", rows=options.rows)
        schemas = work / "conf" / "schema"  # A folder `conf` where one works adds to ctrkit's own.
        schemas.mkdir(parents=True)
        (schemas / "criteo_shape.yaml").write_text(SCHEMA, encoding="utf-8")
        os.chdir(work)
        ctrkit("prepare", *words(work))
        for name in options.comparisons:
            compare(work, name, options.rounds)


if __name__ == "__main__":
    main()
