"""What the chief tells the other tasks of the run, and what a worker compares with what it was given itself."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ctrkit.errors import ConfigError
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.placement.plan import Plan as Placement
from ctrkit.training.cluster.share import Share
from ctrkit.training.resume import facts_of
from ctrkit.training.weights import described


def told(job: Job, share: Share, placement: Placement) -> dict[str, Any]:
    """What joining tasks get from the chief, and `run.json` keeps; JSON."""
    return {
        "mode": job.cluster.mode,
        "steps": share.steps,
        "share": asdict(share),
        "workers": job.task.workers,
        "ps": job.task.ps,
        "placement": job.cluster.placement,
        "parts": {str(weight): count for weight, count in placement.parts.items()},
        "loads": [
            {"bytes": float(size), "traffic": float(moved)}
            for size, moved in zip(placement.bytes, placement.traffic, strict=True)
        ],
        "options": job.options.to_dict(),
        "weights": described(job.model.weights),
        "records": facts_of(job.fingerprint, job.records, job.options)["records"],
        "host": socket.gethostname(),
    }


def check_agrees(job: Job, info: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where the chief, which told `info`, trains something else than `job`."""
    for name, value in (("mode", job.cluster.mode), ("placement", job.cluster.placement)):
        if info[name] != value:
            raise _differs(f"cluster.{name}", info[name], value)
    theirs = info["options"]
    for name, value in job.options.to_dict().items():
        if theirs.get(name) != value:
            raise _differs(f"training.{name}", theirs.get(name), value)
    if info["weights"] != described(job.model.weights):
        raise ConfigError(
            f"The chief trains a model of {len(info['weights'])} weights, of other shapes than the "
            f"{len(job.model.weights)} of this task. Start all tasks with the same words."
        )
    if info["records"] != facts_of(job.fingerprint, job.records, job.options)["records"]:
        raise ConfigError(
            "The chief trains on other records than this task sees. Give all tasks the same work_dir, and do not "
            "prepare while they train."
        )


def _differs(name: str, theirs: Any, ours: Any) -> ConfigError:
    return ConfigError(
        f"The chief trains with {name}={theirs!r}, this task got {ours!r}. Start all tasks with the same words."
    )
