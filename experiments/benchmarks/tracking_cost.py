"""What tracking costs a training: `ctrkit train` with MLflow and without, fresh processes in turn.

Each pair of processes trains the same run on the same records; their order changes from pair to pair. CPU time is that of
the process and its threads, so that other work on the machine counts for little; wall time is shown beside it.

    python experiments/benchmarks/tracking_cost.py --rows 1000000 --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PARTS = ("process", "training", "steps")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One training."""

    cpu: dict[str, float]  # Seconds of CPU: of the whole process, and from `train_run`'s begin to its end.
    wall: dict[str, float]  # Seconds: the same, and of the steps alone.


WORKER = """
import json, resource, sys, time
from ctrkit.commands.configuration import load_config
from ctrkit.commands import train as verb

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

began = time.perf_counter()
config = load_config(sys.argv[2:])
import ctrkit.training.fit  # TensorFlow, which every training needs.
from ctrkit.training import train as _
inner = {}
whole = verb.train_run
start_cpu, start = cpu(), time.perf_counter()
run_dir, result = whole(config)
inner = {"cpu": cpu() - start_cpu, "wall": time.perf_counter() - start}
steps = result.rows / result.samples_per_second
origin = verb.note_origin(config, run_dir, verb.prepare_log(config)) and None
alone = time.perf_counter()
from ctrkit.commands.card import collect
collect(config, run_dir)
json.dump({"cpu": {"process": cpu(), "training": inner["cpu"]},
           "wall": {"process": time.perf_counter() - began, "training": inner["wall"], "steps": steps}},
          open(sys.argv[1], "w"))
"""


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="ctrkit-tracking-") as folder:
        place = Path(folder)
        words = [
            "experiment=quickstart",
            f"data.build.rows={arguments.rows}",
            f"training.epochs={arguments.epochs}",
            "run=new",
            *arguments.words,
        ]
        _ctrkit(place, "prepare", *[word for word in words if word != "run=new"])
        _train(place, [*words, "training.max_steps=20", "tracking=mlflow"])  # Makes the store; warms the disk.
        pairs: list[dict[str, Measured]] = []
        for number in range(arguments.rounds):
            order = ("mlflow", "none") if number % 2 else ("none", "mlflow")
            pairs.append({kind: _train(place, [*words, f"tracking={kind}"]) for kind in order})
            _show(number, pairs[-1])
        _summary(pairs, arguments)


def _train(place: Path, words: list[str]) -> Measured:
    result = place / "measured.json"
    _python(place, "-c", WORKER, str(result), *words)
    found = json.loads(result.read_text(encoding="utf-8"))
    return Measured(cpu=found["cpu"], wall=found["wall"])


def _ctrkit(place: Path, *words: str) -> None:
    _python(place, "-m", "ctrkit.commands.main", *words)


def _python(place: Path, *words: str) -> None:
    environment = {**os.environ, "CTRKIT_QUIET": "1", "MLFLOW_TRACKING_URI": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, *words], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


def _show(number: int, pair: dict[str, Measured]) -> None:
    told = ", ".join(
        f"{kind} {one.cpu['training']:.1f} s CPU, {one.wall['training']:.1f} s (steps {one.wall['steps']:.1f} s)"
        for kind, one in sorted(pair.items())
    )
    print(f"{time.strftime('%H:%M:%S')} pair {number + 1}: {told}", flush=True)


def _summary(pairs: list[dict[str, Measured]], arguments: argparse.Namespace) -> None:
    print(f"\n{arguments.rows:,} rows, {arguments.epochs} epoch(s), {len(pairs)} pairs: median of with / without - 1")
    for kind in ("cpu", "wall"):
        for part in PARTS:
            if part in getattr(pairs[0]["none"], kind):
                ratios = [getattr(one["mlflow"], kind)[part] / getattr(one["none"], kind)[part] for one in pairs]
                spread = f"{100 * (min(ratios) - 1):+.2f}% to {100 * (max(ratios) - 1):+.2f}%"
                print(f"  {kind:<5}{part:<10}{100 * (statistics.median(ratios) - 1):+.2f}%  ({spread})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the synthetic log")
    parser.add_argument("--epochs", type=int, default=2, help="of each training")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of trainings")
    parser.add_argument("words", nargs="*", help="further words of the configuration, e.g. model=dcn_v2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
