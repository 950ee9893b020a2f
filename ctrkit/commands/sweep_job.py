"""One job of a sweep: the verb in a process of its own, its output in a file, its outcome in another."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.workspace import RUNS

PLAN_FILE, OUTCOME_FILE, LOG_FILE = "plan.json", "outcome.json", "log.txt"
LOOK_EVERY = 1.0  # Seconds between two looks whether the sweep is still there.
SHOWN = ("auc", "log_loss")  # Of a finished job's metrics, in the line that tells it is.


def job(config: DictConfig) -> None:
    """Run the job that Hydra has composed; a failure is written down, never raised, so that the others go on."""
    hydra = HydraConfig.get()
    folder, number = Path(hydra.runtime.output_dir), int(hydra.job.num)
    plan = json.loads((folder.parent / PLAN_FILE).read_text(encoding="utf-8"))
    words = [str(word) for word in hydra.overrides.task]
    swept = {
        key: value for key, _, value in (word.partition("=") for word in words) if key.lstrip("+") in plan["swept"]
    }
    label = f"[{number + 1}/{plan['jobs']}] {' '.join(f'{key}={value}' for key, value in swept.items())}"
    outcome: dict[str, Any] = {"number": number, "overrides": swept, "log": str(folder / LOG_FILE)}
    if plan["apart"]:
        words.append(f"work_dir={folder}")
    run_dir: Path | None = None
    if plan["verb"] == "train" and "run" not in swept:
        model = str(config.model.get("_target_", "model")).replace(":", ".").rsplit(".", 1)[-1]
        name = f"{folder.parent.name}-{number:02d}-{model}"
        words.append(f"run={name}")
        run_dir = (folder if plan["apart"] else Path(str(config.work_dir))) / RUNS / name
        outcome |= {"run": name, "run_dir": str(run_dir)}
    _tell(f"{label}: begins; its output goes to {folder / LOG_FILE}")
    started = time.monotonic()
    status = _run(plan["verb"], words, folder / LOG_FILE, threads=plan["threads"], sweep=plan["pid"])
    outcome |= {"status": status, "seconds": round(time.monotonic() - started, 1), **_figures(run_dir)}
    if status != 0:
        outcome["error"] = _reason(folder / LOG_FILE, status)
    write_json(folder / OUTCOME_FILE, outcome)
    metrics = outcome.get("metrics", {})
    figures = ", ".join(f"{name} {metrics[name]:.4f}" for name in SHOWN if name in metrics)
    end = f"failed: {outcome['error']}" if status != 0 else f"done in {outcome['seconds']:.0f} s  {figures}"
    _tell(f"{label}: {end}".rstrip())


def _run(verb: str, words: list[str], log: Path, *, threads: int, sweep: int) -> int:
    """Returns the exit status. `sweep` is the process that started this one, or this one itself."""
    command = [sys.executable, "-m", "ctrkit.commands.main", *verb.split(), *words]
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_EVERY)
                if _is_orphan(sweep):
                    break
        finally:
            if process.poll() is None:  # Interrupted: the verb has been so too, and writes a checkpoint.
                process.terminate()
                process.wait()
    if _is_orphan(sweep):
        os._exit(1)
    return process.returncode


def _is_orphan(sweep: int) -> bool:
    """Whether the sweep was killed, so that nobody waits for this job any more."""
    return os.getpid() != sweep and os.getppid() != sweep


def _figures(run_dir: Path | None) -> dict[str, Any]:
    """The run's own, where it has any."""
    if run_dir is None:
        return {}
    try:
        result = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["result"]
        return {"metrics": result["metrics"], "samples_per_second": result["samples_per_second"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _reason(log: Path, status: int) -> str:
    """The line that says why, of what the verb has printed."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("error: ")]
    if said:
        return said[-1].removeprefix("error: ")
    killed = f"killed by signal {-status}; is there memory enough? sweep.jobs=1 takes half" if status < 0 else ""
    return killed or (lines[-1] if lines else f"ended with status {status}")


def _tell(line: str) -> None:
    """One line at once, whole, although several processes write."""
    sys.stdout.flush()
    os.write(1, f"{line}\n".encode())
