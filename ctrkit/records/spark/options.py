"""How to reach Spark, and what of a vocabulary is broadcast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SparkOptions:
    """Options of a Spark session; none of them changes what is written."""

    master: str | None = None  # None: what spark-submit or spark-defaults.conf say, else all cores of this machine.
    conf: Mapping[str, Any] | None = None  # Spark's own settings, such as spark.executor.memory: 8g; also nested.
    broadcast_values: int = 100_000  # Of a vocabulary, the most frequent; the others are joined.

    def __post_init__(self) -> None:
        if self.master is not None and (not isinstance(self.master, str) or not self.master):
            raise ConfigError(
                f"data.spark.master: got {self.master!r}, expected e.g. 'local[*]' or 'spark://HOST:7077'."
            )
        if self.conf is not None and not isinstance(self.conf, Mapping):
            raise ConfigError(
                f"data.spark.conf: got {self.conf!r}, expected settings such as {{spark.executor.memory: 8g}}."
            )
        object.__setattr__(self, "conf", _flat(self.conf or {}))
        for name in self.conf or {}:
            if not name.startswith("spark."):
                raise ConfigError(f"data.spark.conf: {name!r} is no setting of Spark; they begin with 'spark.'.")
        values = self.broadcast_values
        if isinstance(values, bool) or not isinstance(values, int) or values < 0:
            raise ConfigError(f"data.spark.broadcast_values: got {values!r}, expected an integer >= 0.")


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found
