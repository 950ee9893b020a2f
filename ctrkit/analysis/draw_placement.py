"""Draw what each parameter server holds and moves, under several placements beside each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from ctrkit.analysis.balance import Balance, balance
from ctrkit.analysis.canvas import BLUE, DASHED, FAINT, GREY, ORANGE, PURPLE, dress, legend, new_figure, title
from ctrkit.errors import ShapeError

OTHERS = (ORANGE, PURPLE, GREY)  # The last placement, the one that is proposed, is blue.
BARS_UP_TO = 16  # Servers; of more, bars would be thinner than a pixel or two: outlines instead.
PANELS = (("Bytes held", "with optimizer slots"), ("Traffic of a step", "of one worker, both directions"))


def placement_figure(placements: Mapping[str, tuple[ArrayLike, ArrayLike]], *, name: str = "") -> Figure:
    """Draw the bytes and the traffic of each server, the most loaded first; the titles tell largest over mean.

    Args:
        placements: name of a strategy -> bytes and traffic in bytes, one number a server each. The last one is the
            one that is proposed.
        name: of what is placed; begins the second line of the title.
    Raises:
        ShapeError: no placement, or numbers of servers that differ.
    """
    if not placements:
        raise ShapeError("A placement figure needs at least one placement, e.g. {'balanced': (bytes, traffic)}.")
    found = {label: tuple(balance(loads) for loads in pair) for label, pair in placements.items()}
    sizes = {len(one.loads) for pair in found.values() for one in pair}
    if len(sizes) != 1:
        raise ShapeError(f"Placements over different numbers of servers: {sorted(sizes)}; expected the same for all.")
    figure = new_figure(width=8.6, height=7.4)
    for number, (axes, (what, detail)) in enumerate(zip(figure.subplots(2, 1), PANELS, strict=True)):
        _panel(axes, what, detail, {label: pair[number] for label, pair in found.items()}, name)
    return figure


def _panel(axes: Axes, what: str, detail: str, found: Mapping[str, Balance], name: str) -> None:
    dress(axes, x="Parameter server, the most loaded first", y=what)
    *others, ours = found
    colors = {ours: BLUE, **dict(zip(others, OTHERS * len(others), strict=False))}
    servers = len(found[ours].loads)
    for place, (label, one) in enumerate(found.items()):
        idle = f", {one.idle} idle" if one.idle else ""
        text = f"{label}: {one.largest_over_mean:.2f} times the mean{idle}"
        if servers <= BARS_UP_TO:
            width = 0.8 / len(found)
            middle = np.arange(1, servers + 1) + (place - (len(found) - 1) / 2) * width
            axes.bar(middle, one.loads, width=0.92 * width, color=colors[label], label=text)
        else:
            edges = np.arange(servers + 1) + 0.5
            axes.stairs(one.loads, edges, color=colors[label], linewidth=1.8, label=text)
    axes.axhline(found[ours].mean, color=GREY, linewidth=1, linestyle=DASHED, label="mean")
    axes.set_xlim(0.4, servers + 0.6)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
    axes.grid(False, axis="x")
    axes.grid(True, axis="y", color=FAINT)
    legend(axes, "upper right")
    title(
        axes,
        f"{what}: largest over mean {found[ours].largest_over_mean:.2f} ({ours})",
        f"{name + ': ' if name else ''}{servers} parameter server{'s' if servers > 1 else ''}, {detail}",
    )


def _bytes(count: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.3g} B"
