"""Kill roles of a training cluster at random moments, again and again, and see whether it ends right.

    python experiments/benchmarks/cluster_faults.py [--rounds 10] [--seed 0] [--sync]

In each round one cluster (2 workers, 2 parameter servers, an evaluator) loses a worker, a parameter server, the chief
and the evaluator to `kill -9`, in random order, each at a random step after the one before was survived. It ends right
when the global step is the planned one, the last checkpoint is that step's and the evaluator judged it. A minute or two
a round.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from clusters import ctrkit, run_cluster, status_of

from ctrkit.errors import CtrkitError
from ctrkit.training.checkpoint import checkpoints
from ctrkit.training.cluster.judgement import Judgement
from ctrkit.training.cluster.launch.local_cluster import LocalCluster
from ctrkit.training.early_stopping import EarlyStopping

VICTIMS = ("worker-0", "ps-0", "chief-0", "evaluator-0")
STEPS = 1500


def round_of(work: Path, number: int, rng: random.Random, *, mode: str) -> tuple[int, str]:
    """One cluster; returns the kills that were made, and what is wrong at the end (nothing: "")."""
    run_dir = work / "quickstart" / "runs" / f"{mode}-{number}"
    words = words_of(work)
    made: list[str] = []
    over = threading.Event()

    def kill(cluster: LocalCluster) -> None:
        for victim in rng.sample(VICTIMS, len(VICTIMS)):
            goal = None
            while not over.is_set():
                status = status_of(run_dir) or {}
                step = (status.get("cluster") or {}).get("step")
                trains = status.get("roles", {}).get("chief-0", {}).get("state") == "training"
                if step is not None and trains:
                    goal = step + rng.randint(5, 150) if goal is None else goal
                    if step >= goal and victim in cluster.pids():
                        break
                time.sleep(0.05)
            if over.is_set():
                return
            os.kill(cluster.pids()[victim], signal.SIGKILL)
            made.append(f"{victim} at {step}")
            time.sleep(rng.uniform(0.5, 5))

    try:
        result = run_cluster([*words, f"training={mode}_ps"], run_dir, workers=2, ps=2, threads=1, disturb=kill)
    except CtrkitError as error:
        return len(made), f"after {', '.join(made)}: {error}"
    finally:
        over.set()
    newest = checkpoints(run_dir / "checkpoints")[0].step
    judged = {one.step for one in Judgement.read(run_dir, EarlyStopping(metric=None, patience=None)).evaluations}
    wrong = [
        text
        for holds, text in (
            (result["steps"] == STEPS, f"ended at step {result['steps']}"),
            (newest == STEPS, f"the last checkpoint is of step {newest}"),
            (STEPS in judged, "the last checkpoint was not judged"),
        )
        if not holds
    ]
    print(f"round {number}: {', '.join(made)}: {'; '.join(wrong) or 'right'}", file=sys.stderr, flush=True)
    return len(made), "; ".join(wrong)


def words_of(work: Path) -> list[str]:
    return [
        "experiment=quickstart",
        f"root={work}",
        "data.build.rows=60000",
        "model.hidden=[32]",
        "tracking=none",
        "training.batch_size=256",
        "training.early_stopping=null",
        "training.epochs=100",
        f"training.max_steps={STEPS}",
        "training.checkpoint_every=50",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sync", action="store_true", help="synchronous training; asynchronous by default")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kills = right = 0
    with tempfile.TemporaryDirectory() as directory:
        ctrkit("prepare", *words_of(Path(directory)))
        for number in range(options.rounds):
            made, wrong = round_of(Path(directory), number, rng, mode="sync" if options.sync else "async")
            kills += made
            right += 0 if wrong else made
            if wrong:
                print(f"round {number} ended wrong: {wrong}", flush=True)
    print(f"{right} of {kills} kills in {options.rounds} rounds ended right")


if __name__ == "__main__":
    main()
