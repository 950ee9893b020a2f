"""What the evaluator found, in a file of the run's folder: the chief reads it, nobody else writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctrkit.atomic import write_json
from ctrkit.errors import ArtifactError
from ctrkit.training.early_stopping import EarlyStopping

EVALUATIONS = "evaluations.json"


@dataclass
class Judgement:
    """Evaluations by step, and what they mean for the run."""

    stopping: EarlyStopping
    evaluations: list[dict[str, Any]] = field(default_factory=list)  # {"step": …, "metrics": {…}}, in order of time.

    @classmethod
    def read(cls, run_dir: Path, stopping: EarlyStopping) -> Judgement:
        """What is known so far; `stopping` is brought to that state. Raises `ArtifactError` when it cannot be read."""
        path = run_dir / EVALUATIONS
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(stopping)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"Cannot read {path}: {error}. Train a new run (run=new).") from error
        stopping.restore(kept["stopping"])
        return cls(stopping, list(kept["evaluations"]))

    def write(self, run_dir: Path) -> None:
        """Replace the file."""
        write_json(run_dir / EVALUATIONS, {"stopping": self.stopping.to_dict(), "evaluations": self.evaluations})

    def add(self, step: int, metrics: dict[str, float]) -> bool:
        """Take in the evaluation of a step; returns whether it is the best so far."""
        self.evaluations.append({"step": step, "metrics": metrics})
        return self.stopping.observe(step, metrics)

    def forget_after(self, step: int) -> None:
        """Drop evaluations of steps that a restored run has not reached, unless the best is among them."""
        best = self.stopping.best_step
        self.evaluations = [e for e in self.evaluations if e["step"] <= step or e["step"] == best]

    @property
    def steps(self) -> set[int]:
        """Steps that were evaluated."""
        return {evaluation["step"] for evaluation in self.evaluations}
