"""Run real clusters of processes on this machine for the other benchmarks, and read what they did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.launch.local_cluster import LocalCluster

QUIET = {"CTRKIT_QUIET": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
CTRKIT = (sys.executable, "-m", "ctrkit.commands.main")


def run_cluster(
    words: Sequence[str],
    run_dir: Path,
    *,
    workers: int,
    ps: int,
    evaluator: bool = True,
    threads: int = 1,
    delays: Mapping[str, float] | None = None,
    disturb: Callable[[LocalCluster], None] | None = None,
) -> dict[str, Any]:
    """Train one run on a cluster; returns the result that `run.json` has.

    Args:
        words: of `ctrkit train`, without `run=`.
        run_dir: `<root>/<name>/runs/<run>`; its name becomes the run's.
        workers, ps, evaluator: tasks.
        threads: of TensorFlow in each process.
        delays: role -> seconds that it sleeps in each step.
        disturb: runs beside the training, on a thread.
    """
    cluster = LocalCluster(
        [*CTRKIT, "train", *words, f"run={run_dir.name}"],
        workers=workers,
        ps=ps,
        evaluator=evaluator,
        log_dir=run_dir / "cluster" / "logs",
        env=QUIET,
        env_of={role: {"CTRKIT_STEP_DELAY": str(seconds)} for role, seconds in (delays or {}).items()},
        threads=threads,
        status=lambda: status_of(run_dir),
    )
    if disturb is not None:
        threading.Thread(target=disturb, args=(cluster,), daemon=True).start()
    cluster.run()
    return result_of(run_dir)


def run_alone(words: Sequence[str], run_dir: Path, *, threads: int | None = None) -> dict[str, Any]:
    """Train one run on this machine alone."""
    environment = {**os.environ, **QUIET}
    if threads is not None:
        environment |= dict.fromkeys(
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(threads)
        )
    command = [*CTRKIT, "train", *words, f"run={run_dir.name}"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return result_of(run_dir)


def ctrkit(*words: str) -> None:
    """Run a verb."""
    subprocess.run([*CTRKIT, *words], check=True, env={**os.environ, **QUIET}, stdout=subprocess.DEVNULL)


def result_of(run_dir: Path) -> dict[str, Any]:
    """What became of a finished run."""
    return dict(json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["result"])


def status_of(run_dir: Path) -> dict[str, Any] | None:
    """What the cluster says of itself; None when it cannot be asked."""
    with DispatchClient(run_dir, "launcher") as client:
        try:
            return client.status(give_up=0.0)
        except TrainingError:
            return None
