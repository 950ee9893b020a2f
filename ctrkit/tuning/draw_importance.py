"""Draw which keys of a search mattered."""

from __future__ import annotations

from matplotlib.figure import Figure

from ctrkit.analysis.canvas import BLUE, GREY, LABEL_SIZE, dress, new_figure, title
from ctrkit.tuning.importance import LEAST_TRIALS, Importance


def importance_figure(found: Importance | None, *, objective: str) -> Figure:
    """One bar a key, the most important on top; without enough trials the figure says so."""
    count = 1 if found is None else len(found.keys)
    figure = new_figure(width=7.2, height=1.9 + 0.42 * count)
    axes = figure.subplots()
    dress(axes, x=f"Share of the variance of {objective} lost when the key is shuffled", y="")
    if found is None:
        title(axes, "Too few trials to tell which keys matter", f"at least {LEAST_TRIALS} that ended are needed")
        axes.set_yticks([])
        return figure
    axes.barh(range(count), [max(value, 0.0) for value in found.values], color=BLUE, height=0.6)
    axes.set_yticks(range(count), found.keys, fontsize=LABEL_SIZE)
    axes.invert_yaxis()
    axes.axvline(0, color=GREY, linewidth=0.8)
    headline = f"{found.keys[0]} matters most" if found.explained > 0 and found.values[0] > 0 else "No key stands out"
    title(
        axes,
        headline,
        f"random forest over {found.trials} trials; of unseen ones it foretells {max(found.explained, 0):.0%} "
        "of the variance",
    )
    return figure
