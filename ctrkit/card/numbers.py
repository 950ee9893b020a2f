"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

EPOCH = (946_684_800, 4_102_444_800)  # 2000 to 2100, in seconds since 1970.
NAMES = {
    "auc": "AUC",
    "grouped_auc": "Grouped AUC",
    "log_loss": "Log loss",
    "pcoc": "PCOC",
    "label_rate": "Click rate",
    "mean_score": "Mean score",
    "rows": "Rows",
}


def metric_name(name: str) -> str:
    """A metric's name for people."""
    return NAMES.get(name, name.replace("_", " "))


def figure(value: float | None, digits: int = 4) -> str:
    """A metric: four decimals, which is what differs between models."""
    return "–" if value is None else f"{value:.{digits}f}"


def between(bounds: Sequence[float] | None, digits: int = 4) -> str:
    """`0.7512 to 0.7833`."""
    return "–" if bounds is None else f"{figure(bounds[0], digits)} to {figure(bounds[1], digits)}"


def count(value: float | None) -> str:
    """`1,234,567`."""
    return "–" if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return "–"
    for least, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= least:
            return f"{value / least:.3g} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """`3 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(time: Any) -> str:
    """A time of the log; a number that can only be seconds since 1970 with the date that it is, in UTC."""
    if isinstance(time, (int, float)) and not isinstance(time, bool) and EPOCH[0] <= time < EPOCH[1]:
        return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M")
    return setting(time)


def setting(value: Any) -> str:
    """A value of the configuration, as YAML would say it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
