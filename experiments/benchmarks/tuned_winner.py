"""A tuned winner against its experiment on the rows for test, which no search has read: same seeds, same rows.

ctrkit tune experiment=movielens tuning=hyperband …
for seed in 0 1 2; do for name in movielens movielens_tuned; do
    ctrkit train experiment=$name work_dir=artifacts/movielens seed=$seed run=$name-$seed
done; done
python experiments/benchmarks/tuned_winner.py artifacts/movielens movielens movielens_tuned --out tuned.png
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from ctrkit.analysis.canvas import BLUE, GREY, ORANGE, dress, new_figure, title
from ctrkit.analysis.paired import Difference, metric_differences
from ctrkit.commands.evaluate import load_run
from ctrkit.commands.workspace import run_config
from ctrkit.training import Evaluation, evaluate

SHOWN = ("auc", "grouped_auc", "log_loss", "pcoc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("names", nargs=2, help="of the experiment and of the tuned one; runs are NAME-SEED")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("tuned.png"))
    arguments = parser.parse_args()
    found = {
        name: [judged(arguments.work_dir / "runs" / f"{name}-{seed}") for seed in range(arguments.seeds)]
        for name in arguments.names
    }
    for name, runs in found.items():
        for metric in SHOWN:
            values = [run.metrics[metric] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{name:<20} {metric:<12} {statistics.fmean(values):.5f} ± {spread:.5f}  {np.round(values, 5)}")
    default, tuned = found.values()
    differences = []
    for seed, (first, second) in enumerate(zip(default, tuned, strict=True)):
        differences.append(told(f"seed {seed}", first, first.scores, second.scores)["auc"])
    averages = [np.mean([run.scores for run in runs], axis=0) for runs in (default, tuned)]
    told("mean of the seeds' scores", default[0], *averages)
    draw(found, differences, arguments.out)


def judged(run_dir: Path) -> Evaluation:
    """The rows for test with the run's best weights."""
    prepared, model = load_run(run_config(run_dir), run_dir)
    assert prepared.test is not None
    found = evaluate(model, prepared.test)
    print(run_dir.name, json.dumps({name: round(found.metrics[name], 5) for name in SHOWN}), flush=True)
    return found


def told(name: str, rows: Evaluation, first: np.ndarray, second: np.ndarray) -> dict[str, Difference]:
    """Differences on the same rows, the users drawn again; printed."""
    found = metric_differences(rows.labels, first, second, rows.weights, rows.groups)
    for metric in ("auc", "grouped_auc", "log_loss"):
        one = found[metric]
        print(f"{name}: {metric} {one.value:+.5f}, 95% {one.low:+.5f} to {one.high:+.5f}, p {one.p:.2g}")
    return found


def draw(found: dict[str, list[Evaluation]], differences: list, out: Path) -> None:
    """AUC of each run, and the paired difference of each seed with its interval."""
    figure = new_figure(width=9.0, height=4.2)
    left, right = figure.subplots(1, 2)
    for place, runs in enumerate(found.values()):
        values = [run.metrics["auc"] for run in runs]
        color = (BLUE, ORANGE)[place]
        left.scatter([place] * len(values), values, color=color, s=36, zorder=3)
        left.hlines(statistics.fmean(values), place - 0.2, place + 0.2, color=color, linewidth=2)
    left.set_xticks(range(len(found)), list(found))
    left.set_xlim(-0.5, len(found) - 0.5)
    dress(left, x="", y="AUC on the rows for test")
    means = [statistics.fmean(run.metrics["auc"] for run in runs) for runs in found.values()]
    title(left, f"{means[1] - means[0]:+.4f} AUC on unseen rows", f"mean of {len(differences)} seeds; points: seeds")
    for seed, one in enumerate(differences):
        right.plot([one.low, one.high], [seed, seed], color=ORANGE, linewidth=2)
        right.scatter([one.value], [seed], color=ORANGE, s=36, zorder=3)
    right.axvline(0, color=GREY, linewidth=1)
    right.set_yticks(range(len(differences)), [f"seed {seed}" for seed in range(len(differences))])
    dress(right, x="Difference of AUC, tuned less default, same rows", y="")
    right.xaxis.set_major_locator(MaxNLocator(5))
    title(right, "Paired, by seed", "bars: 95%, users drawn again")
    figure.savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    main()
