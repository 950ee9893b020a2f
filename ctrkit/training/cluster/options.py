"""How large a cluster of parameter servers is, and how it trains."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.training.cluster.strategies import STRATEGIES

MODES = ("none", "async", "sync")


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of training on parameter servers.

    Raises `ConfigError` on a value that cannot be.
    """

    mode: str = "none"  # async, sync, or none: one machine, whatever TF_CONFIG says.
    ps: int = 2  # Parameter servers.
    workers: int = 2  # Tasks that train, the chief among them.
    evaluator: bool = True  # Evaluate in a task of its own, outside of the training cluster.
    backups: int = 0  # Synchronous: gradients of a step that need not be waited for, that of the slowest workers.
    placement: str = "balanced"  # balanced, greedy or round_robin.

    def __post_init__(self) -> None:
        for name, choices in (("mode", MODES), ("placement", tuple(STRATEGIES))):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"cluster.{name} is {value!r}.{did_you_mean(str(value), choices)}")
        for name, least in (("ps", 1), ("workers", 1), ("backups", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"cluster.{name} is {value!r}, expected a whole number of at least {least}, e.g. "
                    f"cluster.{name}={max(least, 1)}."
                )
        if not isinstance(self.evaluator, bool):
            raise ConfigError(f"cluster.evaluator is {self.evaluator!r}, expected true or false.")
        if self.backups >= self.workers:
            raise ConfigError(
                f"cluster.backups is {self.backups} of {self.workers} workers, the chief among them: no gradient "
                f"would be left to wait for. Type cluster.backups={self.workers - 1} or less, or more cluster.workers."
            )
        if self.backups and self.mode == "async":
            raise ConfigError(
                f"cluster.backups is {self.backups}, but asynchronous workers wait for nobody. Type training=sync_ps, "
                "or cluster.backups=0."
            )
