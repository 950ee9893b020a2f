"""What became of a trial, in one small file of its own that is always whole."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ctrkit.atomic import write_json
from ctrkit.errors import ArtifactError

TRIALS = "trials"  # In a search's folder: ID.json beside the folder ID of its run.
RUNNING, COMPLETED, PRUNED, FAILED = "running", "completed", "pruned", "failed"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set of values and what training with it gave."""

    id: str  # keras-tuner's: 0000, 0001, …
    values: dict[str, Any]  # Dotted key of the configuration -> value.
    hp: dict[str, Any] = field(default_factory=dict)  # What the model function asked `hp` for.
    status: str = RUNNING
    share: float = 1.0  # Of the training rows that it may see: Hyperband starts small.
    continues: str | None = None  # Hyperband: the trial whose weights it goes on with.
    objective: float | None = None  # Of the validation part; of a pruned trial the best that it reached.
    metrics: dict[str, float] = field(default_factory=dict)  # Of the validation part, at the step that is kept.
    steps: int = 0
    rows: int = 0  # Trained on, repetitions counted.
    rows_before: int = 0  # Of them by the trial that this one continues.
    seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)  # [rows, objective] of each evaluation.
    reason: str | None = None  # Why it was pruned or failed.
    attempts: int = 0  # How often it was started; more than once after a kill.
    tuner: str | None = None  # keras-tuner's id of the process that trains it.
    run_id: str | None = None  # Of the nested MLflow run.
    seeds: dict[str, dict[str, float]] = field(default_factory=dict)  # Further seed -> metrics, of a finalist.

    @property
    def is_over(self) -> bool:
        return self.status != RUNNING

    @property
    def score(self) -> float:
        """The objective; NaN where there is none."""
        return math.nan if self.objective is None else self.objective

    @property
    def own_rows(self) -> int:
        """Rows that this trial itself was trained on."""
        return max(self.rows - self.rows_before, 0)


class TrialFiles:
    """The trials in a search's folder; several processes read, one at a time writes each."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder) / TRIALS

    def run_dir(self, trial_id: str) -> Path:
        """Folder of the run that trains it."""
        return self.folder / trial_id

    def read(self, trial_id: str) -> Trial | None:
        """The trial; None when it was never written. Raises `ArtifactError` when it cannot be read."""
        path = self.folder / f"{trial_id}.json"
        try:
            return Trial(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(f"Cannot read trial {path}: {error}. Start a new search: tuning.name=new.") from error

    def write(self, trial: Trial) -> Trial:
        """Write the trial whole, and return it."""
        write_json(self.folder / f"{trial.id}.json", _finite(asdict(trial)))
        return trial

    def update(self, trial_id: str, **changes: Any) -> Trial:
        """Change some of what is known of a trial that was written before."""
        trial = self.read(trial_id)
        if trial is None:
            raise ArtifactError(f"No trial {trial_id} in {self.folder}. Start a new search: tuning.name=new.")
        return self.write(replace(trial, **changes))

    def all(self) -> list[Trial]:
        """Every trial, by number."""
        found = (self.read(path.stem) for path in sorted(self.folder.glob("*.json")) if not path.name.startswith("."))
        return [trial for trial in found if trial is not None]


def rows_trained(trials: Iterable[Trial]) -> int:
    """Rows that all of them were trained on, what was continued counted once."""
    return sum(trial.own_rows for trial in trials)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
