"""What an extension did to an index, feature by feature, for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = ("feature", "known", "appended", "unseen", "still unknown", "missing", "drift, bits")


def extension_table(extension: Mapping[str, Any]) -> str:
    """Aligned columns, the feature that changed most first; `extension` as in prepared.json.

    Unseen are values that the index did not know before; drift is the Jensen-Shannon divergence from its own log.
    """
    features = sorted(extension["features"].items(), key=lambda one: -_changed(one[1]))
    rows = [_HEAD, *(_row(name, found) for name, found in features)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = []
    for name, *numbers in rows:
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)


def _changed(found: Mapping[str, Any]) -> float:
    return max(found.get("unseen") or 0.0, found.get("drift") or 0.0)


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    counts = [f"{found[key]:,}" if key in found else "" for key in ("known", "appended")]
    shares = [f"{100 * found[key]:.1f}%" if key in found else "" for key in ("unseen", "out_of_vocabulary", "missing")]
    drift = found.get("drift")
    return (name, *counts, *shares, "" if drift is None else f"{drift:.3f}")
