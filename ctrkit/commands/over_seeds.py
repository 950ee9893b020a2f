"""Runs of one configuration that differ in their seed alone, and what they say together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctrkit.commands.run_origin import PLACES
from ctrkit.commands.workspace import CONFIG_FILE, RUN_FILE, plain, run_config
from ctrkit.errors import ArtifactError

FINISHED = "finished"  # A run's status in run.json.
# What may differ between such runs: the seeds, and where things lie or are told.
_FREE = (*PLACES, "verify")
_LATER = ("export", "serving", "promotion", "deployment", "manifest", "tuning")  # Read after the training.


def seeds_of(run_dir: Path, part: str | None) -> dict[str, Any] | None:
    """Metrics of `part` over the runs beside `run_dir` with other seeds, this one's included; None for one run alone.

    Counted are runs of the same configuration on the same records; of two with the same seed the newer one.
    """
    from ctrkit.analysis import over_seeds

    if part is None:
        return None
    runs = siblings(run_dir, part)
    if len(runs) < 2:
        return None
    found = {}
    for name in runs[run_dir.name]["metrics"]:
        values = [one["metrics"].get(name) for one in runs.values()]
        if name == "rows" or any(value is None for value in values):
            continue
        over = over_seeds([float(value) for value in values])
        if over is not None:
            found[name] = over._asdict()
    return {"part": part, "runs": list(runs), "seeds": [one["seed"] for one in runs.values()], "metrics": found}


def siblings(run_dir: Path, part: str) -> dict[str, dict[str, Any]]:
    """Seed and metrics of the runs that are alike but for their seed, by name; `run_dir` among them."""
    own = _facts(run_dir, part)
    if own is None:
        return {}
    alike: dict[int, tuple[str, dict[str, Any]]] = {}
    for file in sorted(run_dir.parent.glob(f"*/{CONFIG_FILE}")):
        other = _facts(file.parent, part)
        if other is not None and other["meaning"] == own["meaning"] and other["seed"] != own["seed"]:
            alike[other["seed"]] = (file.parent.name, other)
    alike[own["seed"]] = (run_dir.name, own)
    return dict(sorted(alike.values()))


def _facts(run_dir: Path, part: str) -> dict[str, Any] | None:
    from ctrkit.tracking.parameters import flatten

    try:
        config = plain(run_config(run_dir))
        run = json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8"))
        metrics = json.loads((run_dir / f"evaluation_{part}.json").read_text(encoding="utf-8"))["metrics"]
        kept = {key: value for key, value in config.items() if key not in (*_FREE, *_LATER)}
        # A setting that came to ctrkit between two runs and is null in the newer one changed nothing.
        told = {key: value for key, value in flatten(kept).items() if value is not None}
        meaning = {key: value for key, value in told.items() if key.rpartition(".")[2] != "seed"}
        if run["status"] != FINISHED:
            return None
        identity = json.dumps([meaning, run["fingerprint"], run["records"]], sort_keys=True)
        return {"seed": config["seed"], "metrics": metrics, "meaning": identity}
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        return None
