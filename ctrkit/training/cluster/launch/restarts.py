"""How often, and after which wait, a role that died is started again."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctrkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """Like a scheduler's: a longer wait after each death, and an end to patience."""

    times: int = 5  # Restarts of one role within `within`; 0: none.
    within: float = 600.0  # Seconds that a restart counts.
    first_wait: float = 1.0  # Seconds; doubles with every restart that still counts.
    longest_wait: float = 30.0  # Seconds.

    def __post_init__(self) -> None:
        if self.times < 0:
            raise ConfigError(f"cluster.restarts.times: got {self.times}, expected 0 or more.")
        for name in ("within", "first_wait", "longest_wait"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"cluster.restarts.{name}: got {getattr(self, name)}, expected seconds, 0 or more.")


@dataclass
class Restarts:
    """The restarts that one role has had."""

    policy: RestartPolicy
    count: int = 0
    _at: list[float] = field(default_factory=list)

    def wait(self, now: float) -> float | None:
        """Count one more restart at monotonic time `now`: seconds to wait, or None when the role has had its share."""
        self._at = [at for at in self._at if now - at < self.policy.within]
        recent = len(self._at)
        if recent >= self.policy.times:
            return None
        self._at.append(now)
        self.count += 1
        # The exponent is bounded: 2.0**1024 overflows.
        return float(min(self.policy.first_wait * 2.0 ** min(recent, 60), self.policy.longest_wait))
