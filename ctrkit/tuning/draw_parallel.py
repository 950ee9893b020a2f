"""Draw all trials of a search as lines through one axis a key."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrkit.analysis.canvas import FAINT, GREY, INK, ORANGE, SMALL_SIZE, new_figure, title
from ctrkit.errors import CtrkitError
from ctrkit.tuning.dimension import Choice
from ctrkit.tuning.importance import UNSET, Axis
from ctrkit.tuning.objective import HIGHER, Objective
from ctrkit.tuning.space import Space
from ctrkit.tuning.trial_file import PRUNED, Trial

MOST_LABELS = 8  # Of one axis.


def parallel_figure(trials: Sequence[Trial], space: Space, objective: Objective) -> Figure:
    """One line a trial that has a score, from key to key to the objective; better ones darker, the first one orange.

    Args:
        trials: best first.
        space: gives each axis its range; a key that it does not have is ordered by its values.
    Raises:
        CtrkitError: no trial has a score.
    """
    shown = [trial for trial in trials if not math.isnan(trial.score)]
    if not shown:
        raise CtrkitError("No trial of the search has a score, so there is nothing to draw.")
    rows = [{**trial.values, **trial.hp} for trial in shown]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    figure = new_figure(width=max(6.4, 1.9 * (len(keys) + 1)), height=5.0)
    axes = figure.subplots()
    key_axes = [Axis(key, [row.get(key, UNSET) for row in rows], space) for key in keys]
    scores = np.array([trial.score for trial in shown])
    low, high = float(scores.min()), float(scores.max())
    height = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    goodness = height if objective.direction == HIGHER else 1 - height
    places = np.arange(len(keys) + 1)
    shades = colormaps["Blues"](0.25 + 0.75 * goodness)
    for number in reversed(range(len(shown))):  # The best last, so that it lies on top.
        best = number == 0
        axes.plot(
            places,
            [*(one.heights[number] for one in key_axes), height[number]],
            color=ORANGE if best else shades[number],
            linewidth=2.6 if best else 1.3,
            linestyle=":" if shown[number].status == PRUNED else "-",
            alpha=1.0 if best else 0.8,
            label=shown[number].id,
        )
    for place, one in zip(places, key_axes, strict=False):
        _axis(axes, float(place), _labels(one))
    _axis(axes, float(places[-1]), [(share, f"{low + share * (high - low):.4f}") for share in np.linspace(0, 1, 5)])
    axes.set_xticks(places, [*(key.replace(".", ".\n", 1) for key in keys), objective.name], fontsize=SMALL_SIZE)
    axes.set_xlim(-0.15, len(keys) + 0.55)
    axes.set_yticks([])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    detail = f"{len(shown)} trials; orange: the best; darker is better; dotted: given up early"
    title(axes, f"Best {objective.name}: {shown[0].score:.4f} (trial {shown[0].id})", detail)
    return figure


def _axis(axes: Axes, place: float, labels: Sequence[tuple[float, str]]) -> None:
    axes.vlines(place, 0, 1, color=GREY, linewidth=1, zorder=0)
    for height, text in labels:
        axes.text(
            place + 0.04,
            height,
            text,
            fontsize=SMALL_SIZE - 1.5,
            color=GREY,
            va="center",
            bbox={"facecolor": "white", "edgecolor": FAINT, "alpha": 0.8, "pad": 1.0, "linewidth": 0.4},
        )


def _labels(one: Axis) -> list[tuple[float, str]]:
    """Heights and what stands there: every value of a choice, five of a range."""
    dimension = one.dimension
    if dimension is None:
        return [(height, _short(value)) for height, value in one.places[:MOST_LABELS]]
    if isinstance(dimension, Choice):
        return [(dimension.position(value), _short(value)) for value in dimension.values[:MOST_LABELS]]
    if dimension.log:
        ends = [dimension.low * (dimension.high / dimension.low) ** share for share in np.linspace(0, 1, 5)]
    else:
        ends = [dimension.low + share * (dimension.high - dimension.low) for share in np.linspace(0, 1, 5)]
    return [(float(share), f"{end:.3g}") for share, end in zip(np.linspace(0, 1, 5), ends, strict=True)]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 14 else text[:13] + "…"
