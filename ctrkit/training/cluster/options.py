"""How large a cluster of parameter servers is, and how it trains."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.training.cluster.placement.strategies import STRATEGIES

NONE, ASYNC, SYNC = "none", "async", "sync"
MODES = (NONE, ASYNC, SYNC)


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of training on parameter servers.

    Raises `ConfigError` on a value that cannot be.
    """

    mode: str = "none"  # async, sync, or none: one machine.
    ps: int = 2  # Parameter servers.
    workers: int = 2  # Tasks that train, the chief among them.
    evaluator: bool = True  # Evaluate in a task of its own, outside of the training cluster.
    backups: int = 0  # Synchronous: gradients of a step that need not be waited for, that of the slowest workers.
    placement: str = "balanced"  # balanced, greedy or round_robin.
    lease_rows: int = 1 << 16  # Rows that a worker takes over at a time.
    come_up_within: float = 180.0  # Seconds for a task to come up, or to come back.
    lost_after: float = 60.0  # Seconds without a word until a worker's rows are given to others.
    hold_within: float = 30.0  # Seconds that a checkpoint waits for updates in flight.
    evaluate_within: float = 600.0  # Seconds that the chief waits at the end for the evaluator's last word.

    def __post_init__(self) -> None:
        for name, choices in (("mode", MODES), ("placement", tuple(STRATEGIES))):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"cluster.{name} is {value!r}.{did_you_mean(str(value), choices)}")
        for name, least in (("ps", 1), ("workers", 1), ("backups", 0), ("lease_rows", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"cluster.{name} is {value!r}, expected a whole number of at least {least}, e.g. "
                    f"cluster.{name}={max(least, 1)}."
                )
        if not isinstance(self.evaluator, bool):
            raise ConfigError(f"cluster.evaluator is {self.evaluator!r}, expected true or false.")
        for name in ("come_up_within", "lost_after", "hold_within", "evaluate_within"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError(f"cluster.{name} is {value!r}, expected seconds above 0.")
        if self.backups and self.mode != SYNC:
            raise ConfigError(
                f"cluster.backups is {self.backups}, but only synchronous training waits for gradients. Type "
                "training=sync_ps, or cluster.backups=0."
            )

    def ticket_rows(self, batch_size: int, workers: int) -> int:
        """Rows of one worker's part of a step, where a step reads `batch_size` rows. Raises as `aggregated`."""
        return -(-batch_size // self.aggregated(workers))

    def aggregated(self, workers: int) -> int:
        """Gradients in one update. Raises `ConfigError` when the backups leave none."""
        if self.backups >= workers:
            raise ConfigError(
                f"cluster.backups is {self.backups} of {workers} workers: at least one has to count. Take fewer."
            )
        return workers - self.backups if self.mode == SYNC else 1
