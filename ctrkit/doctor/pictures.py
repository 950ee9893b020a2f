"""The pictures of a doctor's page, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ctrkit.analysis.canvas import BLUE, COLORS, FAINT, GREY, ORANGE, SMALL_SIZE, dress, new_figure, title

_DPI = 100
_MOST_FEATURES = 40  # In one picture, the most remarkable.
_MOST_LINES = 4


def pictures(facts: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG by caption; those that have nothing to show are left out."""
    features = facts["features"]
    drawn = {
        "Rows and label rate by day": _label(facts),
        "Drift between the windows": _bars(features, "drift", "Jensen-Shannon divergence, bits", BLUE),
        "What one feature alone tells of the label": _bars(
            features, "auc", "AUC on held-out halves", ORANGE, least=0.5
        ),
        "Missing values": _map(facts, "missing_by_period", "missing"),
        "Out of vocabulary": _map(facts, "oov_by_period", "out of vocabulary"),
        "Values that no day before had": _map(facts, "unseen_by_period", "unseen before"),
        "Growth of the vocabularies": _growth(facts),
    }
    return {caption: _png(figure) for caption, figure in drawn.items() if figure is not None}


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=_DPI)
    return out.getvalue()


def _label(facts: Mapping[str, Any]) -> Figure:
    periods = facts["periods"]
    figure = new_figure(width=7.2, height=3.6)
    axes = figure.add_subplot()
    places = np.arange(len(periods["names"]))
    axes.bar(places, periods["rows"], color=FAINT, edgecolor=GREY, linewidth=0.5)
    dress(axes, x="", y="rows")
    rates = axes.twinx()
    rates.plot(
        places, [np.nan if rate is None else rate for rate in facts["label"]["by_period"]], color=BLUE, marker="o"
    )
    rates.set_ylim(bottom=0)
    rates.set_ylabel("label rate", color=BLUE)
    axes.axvline(periods["cut"] - 0.5, color=ORANGE, linestyle=":")
    _name_periods(axes, periods["names"])
    title(axes, f"{facts['label']['rate']:.2%} of {facts['rows']:,} rows", "dotted: where the later window begins")
    return figure


def _bars(
    features: Mapping[str, Mapping[str, Any]], key: str, what: str, color: str, *, least: float = 0.0
) -> Figure | None:
    known = sorted(((one[key], name) for name, one in features.items() if one[key] is not None), reverse=True)
    if not known:
        return None
    shown = known[:_MOST_FEATURES][::-1]
    figure = new_figure(width=7.2, height=1.2 + 0.22 * len(shown))
    axes = figure.add_subplot()
    axes.barh([name for _, name in shown], [value - least for value, _ in shown], left=least, color=color)
    axes.set_xlim(least, 1)
    dress(axes, x=what, y="")
    return figure


def _map(facts: Mapping[str, Any], key: str, what: str) -> Figure | None:
    rows = {name: one[key] for name, one in facts["features"].items() if one[key] is not None}
    rows = {name: np.array([np.nan if share is None else share for share in shares]) for name, shares in rows.items()}
    if key == "unseen_by_period":  # On the first day all values are new.
        rows = {name: np.append(np.nan, shares[1:]) for name, shares in rows.items()}
    rows = {name: shares for name, shares in rows.items() if np.nanmax(shares, initial=0) > 0}
    if not rows:
        return None
    names = sorted(rows, key=lambda name: -float(np.nanmax(rows[name])))[:_MOST_FEATURES]
    figure = new_figure(width=7.2, height=1.3 + 0.22 * len(names))
    axes = figure.add_subplot()
    shown = axes.imshow(np.array([rows[name] for name in names]), aspect="auto", cmap="cividis", vmin=0, vmax=1)
    axes.set_yticks(range(len(names)), names, fontsize=SMALL_SIZE)
    _name_periods(axes, facts["periods"]["names"])
    figure.colorbar(shown, ax=axes, label=f"share {what}")
    return figure


def _growth(facts: Mapping[str, Any]) -> Figure | None:
    known = {name: np.cumsum(one["new_values"]) for name, one in facts["features"].items() if one["new_values"]}
    names = sorted(known, key=lambda name: -known[name][-1])[:_MOST_LINES]
    if not names:
        return None
    figure = new_figure(width=7.2, height=3.6)
    axes = figure.add_subplot()
    for name, color in zip(names, COLORS, strict=False):
        axes.plot(known[name], color=color, marker=".", label=name)
    dress(axes, x="", y="distinct values so far")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=SMALL_SIZE)
    _name_periods(axes, facts["periods"]["names"])
    return figure


def _name_periods(axes: Any, names: Sequence[str]) -> None:
    step = max(1, -(-len(names) // 10))
    axes.set_xticks(range(0, len(names), step), list(names)[::step], rotation=30, ha="right", fontsize=SMALL_SIZE)
