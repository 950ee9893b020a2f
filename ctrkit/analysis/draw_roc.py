"""Draw the ROC curve."""

from __future__ import annotations

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ctrkit.analysis.canvas import BLUE, DASHED, GREY, dress, legend, new_figure, percent, title
from ctrkit.analysis.roc import roc_curve
from ctrkit.analysis.scored import scored
from ctrkit.analysis.uncertainty import Interval, auc_interval

POINTS = 1000  # Of the curve as drawn: finer than a pixel.


def roc_figure(
    labels: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    name: str = "",
    interval: Interval | None = None,
) -> Figure:
    """Draw the ROC curve with the AUC and its 95% interval in the title.

    Args:
        labels, scores, weights: as `roc_curve`.
        name: what was scored, e.g. `test, wide_deep`; begins the second line of the title.
        interval: of the AUC, for the title; None: DeLong's, which takes rows for independent.
    Raises:
        ShapeError, CtrkitError: as `roc_curve`.
    """
    rows = scored(labels, scores, weights)
    curve = roc_curve(*rows)
    interval = auc_interval(*rows) if interval is None else interval
    figure = new_figure(width=5.8, height=5.9)
    axes = figure.add_subplot()
    dress(axes, x="False positive rate: non-clicks above the threshold", y="True positive rate: clicks above it")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=DASHED, label="chance")
    detail = f"{name + ': ' if name else ''}{len(rows.labels):,} rows, "
    detail += f"{percent(float((rows.labels * rows.weights).sum() / (rows.weights.sum() or 1)))} clicked"
    if curve.auc == curve.auc:
        drawn = curve.thinned(POINTS)
        axes.plot(drawn.false_positive_rate, drawn.true_positive_rate, color=BLUE, linewidth=2, label="model")
        axes.fill_between(drawn.false_positive_rate, drawn.true_positive_rate, color=BLUE, alpha=0.08, linewidth=0)
        title(axes, f"ROC: AUC {curve.auc:.4f}, 95% in {interval.low:.4f} to {interval.high:.4f}", detail)
    else:
        title(axes, "ROC: no AUC, all labels are the same", detail)
    legend(axes, "lower right")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    return figure
