"""What a run knows beyond its weights; a checkpoint carries it, so that a resumed run forgets nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ctrkit.training.early_stopping import EarlyStopping


@dataclass
class RunState:
    """Grows step by step; all of it but the times is the same for a resumed and an undisturbed run."""

    stopping: EarlyStopping
    step: int = 0  # Updates done.
    before: int = 0  # Updates of the runs before it, which the optimizer goes on to count; see `begin_from`.
    rows: int = 0  # Rows they read.
    loss_sum: float = 0.0  # Since the last report.
    loss_steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)  # Reports: `step` with `loss` or `validation_*`.
    seconds: float = 0.0  # Of the run's processes up to the last `count_time`.
    timed_rows: int = 0  # Rows of the steps whose time is known: all but the first of each process.
    timed_seconds: float = 0.0  # Of these steps alone.
    ledger: dict[str, Any] | None = None  # On a cluster: the batches done; None: the first ones, in order.
    _counted: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def samples_per_second(self) -> float:
        return self.timed_rows / self.timed_seconds if self.timed_seconds > 0 else float("nan")

    def count_time(self) -> None:
        """Add the time since the last call, or since the state was made, to `seconds`."""
        now = time.perf_counter()
        self.seconds += now - self._counted
        self._counted = now

    def add_step(self, loss: float, rows: int) -> None:
        """Count one update."""
        self.step += 1
        self.rows += rows
        self.loss_sum += loss
        self.loss_steps += 1

    def report_loss(self) -> dict[str, float]:
        """Close the stretch since the last report; returns its mean loss."""
        report = {"loss": self.loss_sum / max(self.loss_steps, 1)}
        self.history.append({"step": self.step, **report})
        self.loss_sum, self.loss_steps = 0.0, 0
        return report

    def report_evaluation(self, metrics: dict[str, float]) -> dict[str, float]:
        """Note an evaluation; returns it under the names of the history."""
        report = {f"validation_{name}": value for name, value in metrics.items()}
        self.history.append({"step": self.step, **report})
        return report

    def to_dict(self) -> dict[str, Any]:
        """The state as plain values."""
        kept = {name: getattr(self, name) for name in _PLAIN}
        return {**kept, "before": self.before, "stopping": self.stopping.to_dict()}

    def restore(self, kept: dict[str, Any]) -> None:
        """Take over the state of `to_dict`."""
        for name in _PLAIN:
            setattr(self, name, kept[name])
        self.before = kept.get("before", 0)
        self.stopping.restore(kept["stopping"])


_PLAIN = ("step", "rows", "loss_sum", "loss_steps", "history", "seconds", "timed_rows", "timed_seconds", "ledger")
