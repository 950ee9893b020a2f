"""run.json: what became of a run, and the lock that keeps two trainings out of one folder."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctrkit import lock
from ctrkit.atomic import write_json
from ctrkit.errors import ArtifactError, TrainingError

RUN_FILE, LOCK_FILE = "run.json", "run.lock"
RUNNING, FINISHED, FAILED = "running", "finished", "failed"  # "running" without a living process: it was killed.


class RunFile:
    """The file `run.json` of a run's folder; every change is written whole."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / RUN_FILE

    def read(self) -> dict[str, Any]:
        """The content, empty when the run has not begun. Raises `ArtifactError` when it cannot be read."""
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ArtifactError(f"Cannot read {self.path}: {error}. Train a new run (run=new).") from error

    def update(self, **values: Any) -> None:
        """Set some values, and the time of the change."""
        write_json(self.path, _finite({**self.read(), **values, "updated": time.time()}))

    def begin(self, **values: Any) -> None:
        """Mark the run as running in this process."""
        started = self.read().get("started", time.time())
        self.update(status=RUNNING, started=started, host=socket.gethostname(), pid=os.getpid(), reason=None, **values)


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the run's folder for one training; the lock ends with the process, however that ends.

    Raises `TrainingError` when another process holds it.
    """

    def taken(pid: str) -> TrainingError:
        return TrainingError(
            f"Another process ({pid}) is training in {run_dir}. Wait for it, stop it, or train a new run (run=new)."
        )

    with lock.locked(run_dir / LOCK_FILE, taken):
        yield


def _finite(value: Any) -> Any:
    """`value` with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
