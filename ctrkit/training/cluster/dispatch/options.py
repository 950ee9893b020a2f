"""When the chief's dispatch calls a role slow or lost, and how long it keeps a question waiting."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DispatchOptions:
    """Options of a cluster's dispatch.

    Raises `ConfigError` on a value that cannot be.
    """

    lost_after: float = 60.0  # Seconds without a word from a role until its tickets go to others.
    slow_factor: float = 2.0  # A worker is slow when its median step takes more than this times that of the others.
    doubts: bool = False  # Keep back what a worker had in flight when it was lost, until `Dispatch.settle`.
    longest_poll: float = 20.0  # Seconds until a question that must wait is answered "ask again".

    def __post_init__(self) -> None:
        for name, above in (("lost_after", 0), ("slow_factor", 1), ("longest_poll", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > above:
                raise ConfigError(f"{name}: got {value!r}, expected a number above {above}.")
