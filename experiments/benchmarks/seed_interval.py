"""Whether the interval that a card reports over seeds holds the mean of as many further seeds.

Trains and evaluates the experiment with `--runs` seeds, reads the interval from the last run's card, then trains as
many further seeds and looks whether their mean is inside; for every metric. Every other way to part the runs into two
halves is tried as well: the share of those that hold is the coverage on these runs.

    CTRKIT_DATA=... python experiments/benchmarks/seed_interval.py --runs 5
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import math
import os
import statistics
import tempfile
from pathlib import Path

from ctrkit.analysis import over_seeds
from ctrkit.commands.main import main as ctrkit

METRICS = ("auc", "log_loss", "pcoc")


def main() -> None:
    arguments = _arguments()
    os.environ["CTRKIT_QUIET"] = "1"
    with tempfile.TemporaryDirectory(prefix="ctrkit-seeds-") as folder:
        words = [f"experiment={arguments.experiment}", f"work_dir={folder}", "tracking=none", *arguments.words]
        figures: list[dict[str, float]] = []
        card: dict[str, dict[str, float]] = {}
        for seed in range(2 * arguments.runs):
            for verb in ("train", "evaluate"):
                _ctrkit(verb, f"run=seed-{seed:03}", f"seed={seed}", *words)
            run_dir = Path(folder) / "runs" / f"seed-{seed:03}"
            figures.append(json.loads((run_dir / "evaluation_test.json").read_text())["metrics"])
            print(f"seed {seed}: " + ", ".join(f"{name} {figures[-1][name]:.5f}" for name in METRICS), flush=True)
            if seed == arguments.runs - 1:  # What the card says before the further runs are known.
                told = json.loads((run_dir / "card.json").read_text())["over_seeds"]
                if told is None or len(told["runs"]) != arguments.runs:
                    raise SystemExit(
                        f"The card tells of {told and told['runs']}: was the configuration changed meanwhile?"
                    )
                card = told["metrics"]
    print(f"\n{arguments.experiment}, {arguments.runs} seeds, then {arguments.runs} further ones")
    for name in METRICS:
        values = [one[name] for one in figures]
        further = statistics.fmean(values[arguments.runs :])
        told = card[name]
        held = "holds" if told["low"] <= further <= told["high"] else "MISSES"
        share = _coverage(values)
        print(
            f"  {name:<10} {told['mean']:.5f}, deviation {told['deviation']:.5f}: {told['low']:.5f} to "
            f"{told['high']:.5f} {held} {further:.5f}; of all halves {100 * share:.1f}% hold"
        )


def _ctrkit(*words: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = ctrkit(list(words))
    if status != 0:
        raise SystemExit(said.getvalue())


def _coverage(values: list[float]) -> float:
    """The share of the ways to part the runs into two halves in which the first half's interval holds the second."""
    half, held = len(values) // 2, 0
    for chosen in itertools.combinations(range(len(values)), half):
        found = over_seeds([values[place] for place in chosen])
        assert found is not None
        rest = statistics.fmean(value for place, value in enumerate(values) if place not in chosen)
        held += found.low <= rest <= found.high
    return held / math.comb(len(values), half)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="adult")
    parser.add_argument("--runs", type=int, default=5, help="seeds, and as many further ones")
    parser.add_argument("words", nargs="*", help="further words of the configuration, e.g. training.epochs=2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
