"""What the chief knows of one role of the cluster."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ctrkit.training.cluster.dispatch.process_identity import Process

STEPS_KEPT = 20  # For the median time of a step: a pause for a checkpoint does not show in it.
ENOUGH_STEPS = 3  # Fewer say nothing about a worker's pace.
RATE_OVER = 10.0  # Seconds that steps/s and samples/s look back.
# States for a screen; roles may name others, such as "saving" or "evaluating".
STARTING, TRAINING, WAITING, SLOW, LOST = "starting", "training", "waiting", "slow", "lost"


@dataclass(frozen=True)
class Permit:
    """Leave to run one training step."""

    since: float
    thread: int | None  # Of the chief's own process; None: another process.
    generation: int


@dataclass
class Member:
    """One role; times are those of one monotonic clock."""

    role: str
    index: int
    heard: float
    process: Process | None = None
    incarnation: str | None = None  # Of the process, or of its session; None: heard of, but it has not joined.
    state: str = STARTING  # What it says of itself.
    stats: dict[str, Any] = field(default_factory=dict)  # The newest values that it reported.
    lost: bool = False
    trains: bool = False  # It asked for tickets or steps: once lost it must join again, as its tickets went to others.
    left: str | None = None  # The state in which it left.
    permit: Permit | None = None
    starves: bool = False  # Its input waits for tickets, so a permit that it has is not used.
    kept_waiting: bool = False  # Blocked by a hold, a gate, or a chief that is not ready.
    steps: int = 0
    samples: int = 0
    dropped: int = 0
    is_first_step: bool = True  # Of its session: compiles the graph, so its time says nothing.
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS_KEPT))  # Of its last steps.
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)  # (when, steps, samples) of late.

    @property
    def name(self) -> str:
        """Such as `worker-1`."""
        return f"{self.role}-{self.index}"

    def join(self, incarnation: str, process: Process, now: float) -> None:
        """Start anew: another process, or another session of the same."""
        self.incarnation, self.process, self.heard = incarnation, process, now
        self.lost, self.left, self.permit, self.kept_waiting, self.starves = False, None, None, False, False
        self.state, self.is_first_step = STARTING, True
        self.seconds.clear()

    def end_steps(self, now: float, steps: int, stats: dict[str, Any], *, dropped: int) -> None:
        """Give up the permit, and count the `steps` that it was used for."""
        self.stats.update(stats)
        self.dropped += dropped
        permit, self.permit = self.permit, None
        if permit is None or steps == 0:
            return
        if self.is_first_step:
            self.is_first_step = False
        else:
            self.seconds.append(float(stats.get("seconds", (now - permit.since) / steps)))
        samples = int(stats.get("samples", 0))
        self.steps += steps
        self.samples += samples
        self.recent.append((now, steps, samples))

    def step_seconds(self) -> float | None:
        """Median time of the last steps; None while there are too few."""
        return statistics.median(self.seconds) if len(self.seconds) >= ENOUGH_STEPS else None

    def rates(self, now: float) -> tuple[float, float]:
        """Steps and samples per second, of late."""
        while self.recent and now - self.recent[0][0] > RATE_OVER:
            self.recent.popleft()
        if len(self.recent) < 2:
            return 0.0, 0.0
        since, first_steps, first_samples = self.recent[0]
        seconds = max(now - since, 1e-9)
        steps = sum(steps for _, steps, _ in self.recent) - first_steps
        return steps / seconds, (sum(samples for _, _, samples in self.recent) - first_samples) / seconds

    def row(self, now: float, *, slow: bool) -> dict[str, Any]:
        """The role for a screen, as JSON."""
        steps_per_second, samples_per_second = self.rates(now)
        median = self.step_seconds()
        process = self.process
        return {
            "state": self._shown_state(slow),
            "steps": self.steps,
            "steps_per_second": round(steps_per_second, 3),
            "samples_per_second": round(samples_per_second, 1),
            "step_seconds": None if median is None else round(median, 6),
            "loss": self.stats.get("loss"),
            "dropped": self.dropped,
            "silent_seconds": round(max(0.0, now - self.heard), 1),
            "host": None if process is None else process.host,
            "pid": None if process is None else process.pid,
            "stats": dict(self.stats),
        }

    def _shown_state(self, slow: bool) -> str:
        if self.left is not None:
            return self.left
        if self.lost:
            return LOST
        if self.kept_waiting:
            return WAITING
        return SLOW if slow and self.state == TRAINING else self.state
