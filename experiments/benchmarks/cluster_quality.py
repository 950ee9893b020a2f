"""Compare what clusters learn with what one machine learns from as many rows: AUC on held-out rows.

    CTRKIT_DATA=data python experiments/benchmarks/cluster_quality.py [criteo] [movielens] [--seeds 1]

Each experiment is trained as configured, on one machine, on an asynchronous cluster and on a synchronous one with one
backup, each of 3 workers and 2 parameter servers, then evaluated on its test part. A few minutes an experiment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from clusters import ctrkit, run_alone, run_cluster

WAYS = ("one machine", "asynchronous, 3 workers", "synchronous, 2 of 3 workers")


def measure(work: Path, experiment: str, seed: int) -> dict[str, float]:
    """Test AUC of each way."""
    words = [f"experiment={experiment}", f"root={work}", f"seed={seed}", "tracking=none", "cluster.evaluator=false"]
    ctrkit("prepare", *words)
    runs = work / experiment / "runs"
    train: dict[str, Callable[[Path], object]] = {
        WAYS[0]: lambda run: run_alone(words, run),
        WAYS[1]: lambda run: run_cluster([*words, "training=async_ps"], run, workers=3, ps=2, evaluator=False),
        WAYS[2]: lambda run: run_cluster(
            [*words, "training=sync_ps", "cluster.backups=1"], run, workers=3, ps=2, evaluator=False
        ),
    }
    found = {}
    for number, (way, run_it) in enumerate(train.items()):
        run = runs / f"{seed}-{number}"
        run_it(run)
        ctrkit("evaluate", *words, f"run={run.name}")
        judged = json.loads((run / "evaluation_test.json").read_text(encoding="utf-8"))
        found[way] = float(judged["metrics"]["auc"])
        print(f"{experiment}, seed {seed}, {way}: {found[way]:.4f}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=["criteo", "movielens"])
    parser.add_argument("--seeds", type=int, default=1, help="runs of each way")
    options = parser.parse_args()
    print("| experiment | way | test AUC, median | less one machine |\n|---|---|---|---|")
    for experiment in options.experiments:
        with tempfile.TemporaryDirectory() as directory:
            rounds = [measure(Path(directory), experiment, seed) for seed in range(options.seeds)]
        alone = statistics.median(found[WAYS[0]] for found in rounds)
        for way in WAYS:
            auc = statistics.median(found[way] for found in rounds)
            print(f"| {experiment} | {way} | {auc:.4f} | {auc - alone:+.4f} |", flush=True)


if __name__ == "__main__":
    main()
