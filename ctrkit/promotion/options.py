"""What a team asks of a model before it is served."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ctrkit.errors import ConfigError, did_you_mean

GATES = ("parity", "auc", "log_loss", "calibration", "slices", "latency", "index")
RESERVED = ("previous", "latest")  # `promote` and `rollback` set the first, MLflow the second.


@dataclass(frozen=True, kw_only=True)
class PromotionOptions:
    """Where a run's export goes, and the gates that it has to pass on the way."""

    name: str = "ctr"  # The registered model's name.
    to: str = "champion"  # The alias to move: champion, challenger, or one of your own.
    gates: tuple[str, ...] = GATES  # Those that are asked.
    confidence: float = 0.95  # Of the intervals of the differences to the champion.
    auc_margin: float | None = None  # Largest loss of AUC that the interval may hold; None: it must reach 0.
    log_loss_margin: float | None = None  # The same of log loss, in nats.
    pcoc: tuple[float, float] = (0.9, 1.1)  # Predicted over observed clicks of all rows.
    slice_pcoc: tuple[float, float] = (0.8, 1.25)  # The same of each slice.
    slice_clicks: int = 50  # Clicks from which on a slice is judged.
    latency_ms: float = 10.0  # The p99 of a rank request, in milliseconds, client and loopback included.
    candidates: int = 100  # Of that request.
    requests: int = 300  # To measure it with.
    allow_new_index: bool = False  # Let in an index that clients of the champion cannot go on with.

    def __post_init__(self) -> None:
        for name in ("gates", "pcoc", "slice_pcoc"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.name or any(mark in self.name for mark in "/:@"):
            raise ConfigError(
                f"`promotion.name` is {self.name!r}, expected a name without '/', ':' and '@', e.g. promotion.name=ctr."
            )
        if not self.to or self.to in RESERVED or (self.to[:1] == "v" and self.to[1:].isdigit()):
            raise ConfigError(
                f"`promotion.to` is {self.to!r}, expected an alias such as champion or challenger; "
                f"{', '.join(map(repr, RESERVED))} and v1, v2, … are not anybody's to set."
            )
        if not self.gates:
            raise ConfigError("`promotion.gates` is empty: a model that nothing was asked of is not promoted.")
        for gate in self.gates:
            if gate not in GATES:
                raise ConfigError(f"`promotion.gates` names {gate!r}, which is none.{did_you_mean(gate, GATES)}")
        for name in ("pcoc", "slice_pcoc"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or not 0 <= bounds[0] < bounds[1]:
                raise ConfigError(f"`promotion.{name}` is {list(bounds)}, expected two bounds, e.g. [0.9, 1.1].")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"`promotion.confidence` is {self.confidence!r}, expected a share, e.g. 0.95.")
        for name in ("auc_margin", "log_loss_margin"):
            margin = getattr(self, name)
            if margin is not None and not 0 <= margin < math.inf:
                raise ConfigError(f"`promotion.{name}` is {margin!r}, expected null or a loss from 0, e.g. 0.001.")
        for name, least in (("slice_clicks", 1), ("candidates", 1), ("requests", 100)):
            if getattr(self, name) < least:
                raise ConfigError(f"`promotion.{name}` is {getattr(self, name)}, expected {least} or more.")
        if not self.latency_ms > 0:
            raise ConfigError(f"`promotion.latency_ms` is {self.latency_ms}, expected more than 0 milliseconds.")
