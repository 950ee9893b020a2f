"""How the tasks of one cluster find the run that their chief chose: a file in the folder that they share."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctrkit.atomic import write_json
from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient, Joined
from ctrkit.training.cluster.ending import TRAINED
from ctrkit.training.cluster.task import Task
from ctrkit.training.run_file import FINISHED, RunFile

_FOLDER = "cluster"
_WAIT = 0.2  # Seconds between two looks.
_WAIT_FOR_ANSWER = 2.0  # Seconds that a chief may take to answer, between two looks at the run.


def announce(work_dir: Path, task: Task, run_dir: Path) -> None:
    """Tell the cluster which run its chief trains."""
    path = _path(work_dir, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"run": run_dir.name, "time": time.time()})


def withdraw(work_dir: Path, task: Task) -> None:
    """Forget what an earlier run of the same cluster announced."""
    _path(work_dir, task).unlink(missing_ok=True)


def find(work_dir: Path, task: Task, *, within: float, told: Callable[[], None] = lambda: None) -> Path:
    """Wait for the chief's word and return the run's folder.

    Raises `TrainingError` when none comes within so many seconds.
    """
    path, start = _path(work_dir, task), time.monotonic()
    while time.monotonic() - start < within:
        found = _read(path)
        if found is not None:
            run_dir = work_dir / "runs" / str(found["run"])
            if RunFile(run_dir).read().get("status") != FINISHED:
                return run_dir
        told()
        time.sleep(_WAIT)
    raise TrainingError(
        f"{task.name}: the chief ({task.cluster['chief'][0]}) named no run in {path} within {within:.0f} s. See the "
        "chief's log; and check that all tasks see the same work_dir."
    )


def enter(client: DispatchClient, run_dir: Path, *, within: float) -> Joined:
    """Join the chief's cluster; the answer has an `end` when the run is finished already, or ends meanwhile.

    Raises `TrainingError` when the chief does not answer within so many seconds.
    """
    until = time.monotonic() + within
    while True:
        try:
            return client.join(give_up=_WAIT_FOR_ANSWER)
        except TrainingError:
            if RunFile(run_dir).read().get("status") == FINISHED:
                return Joined(client.generation, end={"status": TRAINED, "reason": ""})
            if time.monotonic() > until:
                raise


def _path(work_dir: Path, task: Task) -> Path:
    members = hashlib.sha256(json.dumps(dict(task.cluster), sort_keys=True).encode()).hexdigest()[:12]
    return work_dir / _FOLDER / f"run-{members}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
