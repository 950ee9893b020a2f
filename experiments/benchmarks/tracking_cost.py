"""What tracking costs a training: `ctrkit train` with MLflow and without, fresh processes in turn.

Each pair of processes trains the same run on the same records; their order changes from pair to pair. `command` is the
whole of `ctrkit train`, from its start to its end: what a person waits for. `steps` is what the training calls its own
time. CPU time is that of the process with all its threads; `store` is that of the process beside it which speaks to
MLflow and imports it. The card and what the run notes of its origin are made in both; their CPU time is told apart, as
a share of the command without. So is the CPU time of tracking's own thread and calls within the training process,
which other work on the machine hardly changes: the share that two commands' difference would show if nothing varied.

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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One training; seconds by part."""

    cpu: dict[str, float]
    wall: dict[str, float]


WORKER = """
import json, resource, sys, time
from ctrkit.commands import train
from ctrkit.commands.configuration import load_config

def cpu(whose=resource.RUSAGE_SELF):
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime

def timed(function, name):
    depth = []
    def call(*given, **named):
        start = time.thread_time()
        depth.append(1)
        try:
            return function(*given, **named)
        finally:
            depth.pop()
            if name == "card" or not depth:
                spent[name] += time.thread_time() - start
    return call

spent = {"card": 0.0, "tracking": 0.0, "delivery": 0.0}
train.note_origin, train.update_card = timed(train.note_origin, "card"), timed(train.update_card, "card")
from ctrkit.tracking.delivery import Delivery
from ctrkit.tracking.run import Run
for name in ("start", "finish", "_put", "_file"):
    setattr(Run, name, timed(getattr(Run, name), "tracking"))
Delivery._work = timed(Delivery._work, "delivery")
config = load_config(sys.argv[2:])
run_dir, result = train.train_run(config)
spent |= {"process": cpu(), "store": cpu(resource.RUSAGE_CHILDREN)}
wall = {"steps": result.rows / result.samples_per_second}
with open(sys.argv[1], "w") as out:
    json.dump({"cpu": spent, "wall": wall}, out)
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
    start = time.perf_counter()
    _python(place, "-c", WORKER, str(result), *words)
    command = time.perf_counter() - start
    found = json.loads(result.read_text(encoding="utf-8"))
    return Measured(cpu=found["cpu"], wall={"command": command, **found["wall"]})


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
        f"{kind} {one.wall['command']:.1f} s (steps {one.wall['steps']:.1f} s), {one.cpu['process']:.1f} s CPU, "
        f"store {one.cpu['store']:.1f}"
        for kind, one in sorted(pair.items())
    )
    print(f"{time.strftime('%H:%M:%S')} pair {number + 1}: {told}", flush=True)


def _summary(pairs: list[dict[str, Measured]], arguments: argparse.Namespace) -> None:
    print(f"\n{arguments.rows:,} rows, {arguments.epochs} epoch(s), {len(pairs)} pairs: median of with / without - 1")
    for kind, part in (("wall", "command"), ("wall", "steps"), ("cpu", "process")):
        ratios = [getattr(one["mlflow"], kind)[part] / getattr(one["none"], kind)[part] for one in pairs]
        spread = f"{100 * (min(ratios) - 1):+.2f}% to {100 * (max(ratios) - 1):+.2f}%"
        print(f"  {kind:<5}{part:<10}{100 * (statistics.median(ratios) - 1):+.2f}%  ({spread})")
    shares = [one["none"].cpu["card"] / one["none"].cpu["process"] for one in pairs]
    print(f"  card and origin, without MLflow: {100 * statistics.median(shares):.2f}% of the process' CPU time")
    own = [one["mlflow"].cpu["tracking"] + one["mlflow"].cpu["delivery"] for one in pairs]
    shares = [spent / one["none"].cpu["process"] for spent, one in zip(own, pairs, strict=True)]
    print(f"  tracking's own calls and thread: {statistics.median(own):.2f} s, {100 * statistics.median(shares):.2f}%")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the synthetic log")
    parser.add_argument("--epochs", type=int, default=2, help="of each training")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of trainings")
    parser.add_argument("words", nargs="*", help="further words of the configuration, e.g. model=dcn_v2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
