"""Draw what a benchmark measured as horizontal bars, one panel for each condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ctrkit.analysis import canvas
from ctrkit.atomic import atomic_file


def draw_bars(
    path: Path,
    panels: Mapping[str, Mapping[str, float]],
    *,
    headline: str,
    unit: str,
    digits: int = 0,
    stands_out: Callable[[float], bool] | None = None,
) -> None:
    """Write a PNG, whole or not at all.

    Args:
      path: of the PNG; its folder is made.
      panels: for each panel's title its bars from top to bottom.
      headline: what the chart says.
      unit: of all numbers.
      digits: decimals shown beside a bar.
      stands_out: whether a bar of this value has a colour; by default the first one, ours.
    """
    most = max(len(bars) for bars in panels.values())
    figure = canvas.new_figure(width=8.0, height=0.7 + len(panels) * (0.8 + 0.42 * most))
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)
    for axes, (name, bars) in zip(grid[:, 0], panels.items(), strict=True):
        labels, values = list(bars), list(bars.values())
        colored = [at == 0 if stands_out is None else stands_out(value) for at, value in enumerate(values)]
        colors = [canvas.BLUE if one else canvas.GREY for one in colored]
        drawn = axes.barh(range(len(bars)), values, color=colors, height=0.65)
        axes.bar_label(drawn, [f"{value:,.{digits}f}" for value in values], padding=4, color=canvas.INK)
        canvas.dress(axes, x="", y="")
        axes.set_yticks(range(len(bars)), labels)
        axes.grid(False, axis="y")
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_title(name, fontsize=canvas.LABEL_SIZE, color=canvas.GREY, loc="left")
    grid[-1, 0].set_xlabel(unit, fontsize=canvas.LABEL_SIZE, color=canvas.INK)
    figure.suptitle(headline, fontsize=canvas.TITLE_SIZE, fontweight="bold", color=canvas.INK, x=0.01, ha="left")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=canvas.SCREEN_DPI)
    print(f"\nchart: {path}")
