"""Draw runs under several seeds as dots, one panel for each data set and one line for each setting."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctrkit.analysis import canvas
from ctrkit.atomic import atomic_file


def draw_dots(
    path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], *, headline: str, unit: str, beside: Sequence[str]
) -> None:
    """Write a PNG, whole or not at all.

    Args:
      path: of the PNG; its folder is made.
      panels: for each panel's title its settings from top to bottom, each with one value a seed.
      headline: what the chart says.
      unit: of all values.
      beside: for each panel the setting that the others are compared with; it has a colour, and a line at its mean.
    """
    heights = [len(settings) for settings in panels.values()]
    figure = canvas.new_figure(width=7.2, height=0.7 + 0.9 * len(panels) + 0.3 * sum(heights))
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (name, settings), own in zip(grid[:, 0], panels.items(), beside, strict=True):
        for line, (setting, values) in enumerate(settings.items()):
            color = canvas.BLUE if setting == own else canvas.GREY
            axes.plot(values, [line] * len(values), "o", color=color, alpha=0.6, markersize=6, markeredgewidth=0)
            axes.plot([statistics.mean(values)], [line], "|", color=color, markersize=16, markeredgewidth=2)
        axes.axvline(statistics.mean(settings[own]), color=canvas.BLUE, linewidth=0.8, linestyle=canvas.DASHED)
        canvas.dress(axes, x="", y="")
        axes.set_yticks(range(len(settings)), list(settings))
        axes.set_ylim(len(settings) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.set_title(name, fontsize=canvas.LABEL_SIZE, color=canvas.GREY, loc="left")
    grid[-1, 0].set_xlabel(unit, fontsize=canvas.LABEL_SIZE, color=canvas.INK)
    figure.suptitle(headline, fontsize=canvas.TITLE_SIZE, fontweight="bold", color=canvas.INK, x=0.01, ha="left")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=canvas.SCREEN_DPI)
