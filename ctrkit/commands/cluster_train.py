"""`ctrkit cluster train`: a whole cluster of processes on this machine."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ctrkit.commands.configuration import typed_overrides
from ctrkit.commands.console import say, table
from ctrkit.commands.instantiating import make
from ctrkit.commands.prepare import prepare_log
from ctrkit.commands.train import choose_run, name_warm_start
from ctrkit.commands.workspace import RUN_FILE, hint
from ctrkit.errors import ConfigError, TrainingError
from ctrkit.training.cluster.options import NONE, ClusterOptions

_ASKED_ELSEWHERE = ("run",)  # Words that the launcher answers for all tasks.


def run(config: DictConfig) -> None:
    """Train on a cluster of processes, and say what to do next."""
    options: ClusterOptions = make(config.cluster)
    if options.mode == NONE:
        raise ConfigError("cluster.mode is none: type training=async_ps or training=sync_ps.")
    options.aggregated(options.workers)
    prepared = prepare_log(config)
    name_warm_start(config)  # A slip is told before any role starts.
    run_dir = choose_run(config, prepared.fingerprint)
    if not options.evaluator and config.training.early_stopping is not None:
        say("without an evaluator nothing stops early and the last step counts as the best (cluster.evaluator=true)")
    launch(config, options, run_dir)
    _show(run_dir)
    say(f"next: ctrkit evaluate {hint(config)} run={run_dir.name}")


def launch(config: DictConfig, options: ClusterOptions, run_dir: Path) -> None:
    """Start every role, show them, and return when the run is trained.

    Raises `TrainingError` naming the role that failed first, `KeyboardInterrupt` when someone stops it.
    """
    from ctrkit.training.cluster.launch.local_cluster import LocalCluster
    from ctrkit.training.cluster.launch.screen import open_screen

    log_dir = run_dir / "cluster" / "logs"
    words = [word for word in typed_overrides() if word.split("=")[0].lstrip("+") not in _ASKED_ELSEWHERE]
    command = [sys.executable, "-m", "ctrkit.commands.main", "train", *words, f"run={run_dir.name}"]
    say(f"run {run_dir}: {options.workers} workers, {options.ps} ps, logs in {log_dir}")
    with open_screen() as screen:
        LocalCluster(
            command,
            workers=options.workers,
            ps=options.ps,
            evaluator=options.evaluator,
            log_dir=log_dir,
            env={"CTRKIT_QUIET": "1"},
            threads=_threads(options.workers),
            status=lambda: _status(run_dir),
            up_within=options.come_up_within,
            screen=screen,
        ).run()


def _threads(workers: int) -> int:
    """Threads of each process: the cores of this machine, shared out."""
    return max(1, (os.cpu_count() or 1) // workers)


def _status(run_dir: Path) -> dict[str, Any] | None:
    from ctrkit.training.cluster.dispatch.client import DispatchClient

    with DispatchClient(run_dir, "launcher") as client:
        try:
            status = client.status(give_up=0.0)
        except TrainingError:
            return None
    for number, load in enumerate(status.get("cluster", {}).get("loads", ())):
        status["roles"].setdefault(f"ps-{number}", {}).update(load)
    return status


def _show(run_dir: Path) -> None:
    result = json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8"))["result"]
    say(
        table(
            [
                ("run", str(run_dir)),
                ("steps", f"{result['steps']:,} ({result['stopped_because']})"),
                ("speed", f"{result['samples_per_second'] or 0:,.0f} samples/s"),
                *[(f"validation {name}", f"{value:.5g}") for name, value in result["metrics"].items()],
                ("placement", str(run_dir / "placement.png")),
            ]
        )
    )
