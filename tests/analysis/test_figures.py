"""What the figures say and show; how they look was judged by eye."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import warnings
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from sklearn import metrics

from ctrkit.analysis import calibration_figure, learning_curve_figure, roc_figure, score_histogram
from ctrkit.errors import CtrkitError
from tests.analysis.known_world import World, draw

HISTORY = [
    {"step": 100, "loss": 0.6},
    {"step": 100, "validation_log_loss": 0.55, "validation_auc": 0.70, "validation_pcoc": 1.2},
    {"step": 200, "loss": 0.5},
    {"step": 200, "validation_log_loss": 0.50, "validation_auc": 0.76, "validation_pcoc": 0.9},
    {"step": 300, "loss": 0.4},
    {"step": 300, "validation_log_loss": 0.52, "validation_auc": 0.75, "validation_pcoc": 1.05},
]


def pixels(figure: Any) -> np.ndarray:
    """Draw for real; a warning, e.g. of a layout without room, fails the test."""
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(png, format="png", dpi=60)
    png.seek(0)
    return matplotlib.image.imread(png)[..., :3]


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def numbers(text: str) -> list[float]:
    """The numbers that a text tells, to be compared with a tolerance: two routes may round the last digit apart."""
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def texts(figure: Any) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_the_roc_tells_the_auc_and_its_interval(world: World) -> None:
    figure = roc_figure(world.labels, world.scores, name="test")
    auc = metrics.roc_auc_score(world.labels, world.scores)
    (title,) = titles(figure)
    assert re.match(r"ROC: AUC 0\.\d{4}, 95% in 0\.", title)
    assert numbers(title)[0] == pytest.approx(auc, abs=1e-4)
    assert "test: 4,000 rows" in texts(figure)
    (axes,) = figure.axes
    assert "False positive rate" in axes.get_xlabel()
    assert "True positive rate" in axes.get_ylabel()
    assert (pixels(figure) < 0.9).any()


def test_the_roc_of_weights_is_drawn_with_them(world: World) -> None:
    weights = np.abs(world.labels + world.scores - 1)  # Heavy where the score was right, so the weighted AUC is higher.
    auc = metrics.roc_auc_score(world.labels, world.scores, sample_weight=weights)
    assert auc > metrics.roc_auc_score(world.labels, world.scores) + 0.01
    title = titles(roc_figure(world.labels, world.scores, weights))[0]
    assert numbers(title)[0] == pytest.approx(auc, abs=1e-4)


def test_the_roc_of_one_class_says_so() -> None:
    figure = roc_figure([0, 0], [0.1, 0.2])
    assert titles(figure) == ["ROC: no AUC, all labels are the same"]
    pixels(figure)


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_the_calibration_tells_the_pcoc(rate: float) -> None:
    world = draw(3000, seed=2, rate=rate)
    figure = calibration_figure(world.labels, world.scores)
    assert re.fullmatch(r"Calibration: PCOC \d\.\d{3}", titles(figure)[0])
    assert numbers(titles(figure)[0]) == pytest.approx([world.scores.sum() / world.labels.sum()], abs=1e-3)
    above, below = figure.axes
    assert above.get_ylabel() == "Observed click rate"
    assert below.get_xlabel() == "Predicted click rate"
    pixels(figure)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([0, 0, 0], [0.1, 0.2, 0.3]), ([1, 1], [0.5, 0.5]), ([0], [0.0]), ([1], [1.0]), ([0, 1], [0.0, 1.0])],
)
def test_few_rows_and_extreme_scores_are_drawn(labels: list[int], scores: list[float]) -> None:
    pixels(calibration_figure(labels, scores))
    pixels(score_histogram(labels, scores))
    pixels(roc_figure(labels, scores))


def test_bins_without_clicks_are_shown_on_a_logarithmic_axis() -> None:
    scores = np.repeat([0.001, 0.01, 0.1, 0.5], 50)
    labels = np.concatenate([np.zeros(100), np.tile([0, 0, 0, 0, 1], 10), np.tile([0, 1], 25)])
    above = calibration_figure(labels, scores).axes[0]
    assert above.get_yscale() == "log"
    drawn = {line.get_label(): line for line in above.lines}
    np.testing.assert_allclose(drawn["no clicks"].get_xdata(), [0.001, 0.01])


def test_the_histogram_tells_the_means(world: World) -> None:
    figure = score_histogram(world.labels, world.scores)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    clicked, other = (world.scores[world.labels == y].mean() for y in (1, 0))
    assert [re.sub(r"\d+\.\d", "…", text) for text in legend] == ["not clicked (mean …%)", "clicked (mean …%)"]
    assert numbers(" ".join(legend)) == pytest.approx([100 * other, 100 * clicked], abs=0.1)
    pixels(figure)


def test_the_histogram_refuses_logits() -> None:
    with pytest.raises(CtrkitError, match=r"between -1 and 2, expected probabilities.*sigmoid"):
        score_histogram([0, 1], [-1, 2])


def test_the_learning_curve_marks_the_best_validation_step() -> None:
    figure = learning_curve_figure(HISTORY)
    assert titles(figure) == [
        "Log loss: best 0.5000 (validation, step 200)",
        "AUC: best 0.7600 (validation, step 200)",
        "PCOC: 1.0500 at the end",
    ]
    train = figure.axes[0].lines[0]
    np.testing.assert_allclose([train.get_xdata(), train.get_ydata()], [[100, 200, 300], [0.6, 0.5, 0.4]])
    assert figure.axes[-1].get_xlabel() == "Training step (batches)"
    pixels(figure)


def test_a_learning_curve_with_gaps_and_many_points_is_drawn() -> None:
    history = [{"step": i, "loss": math.nan if i == 50 else 1 / (i + 1), "val/auc": None} for i in range(500)]
    figure = learning_curve_figure(history)
    assert titles(figure) == ["Log loss: 0.0020 at the end"]
    assert len(figure.axes[0].lines) == 2  # The points and their running mean.
    assert np.isfinite(np.asarray(figure.axes[0].lines[1].get_ydata(), dtype=float)).all()
    pixels(figure)


def test_a_metric_that_is_not_there_is_named() -> None:
    with pytest.raises(CtrkitError, match=r"has no 'ndcg'; it has 'auc', 'log_loss', 'pcoc'"):
        learning_curve_figure(HISTORY, metrics=["ndcg"])
    with pytest.raises(CtrkitError, match=r"no metric to draw; it has nothing"):
        learning_curve_figure([])
    with pytest.raises(CtrkitError, match=r"no `step`: it has \['loss'\]"):
        learning_curve_figure([{"loss": 1.0}])


def test_a_notebook_shows_a_figure_by_itself() -> None:
    assert roc_figure([0, 1], [0.1, 0.2])._repr_png_().startswith(b"\x89PNG")


def test_drawing_leaves_pyplot_alone_and_numbers_need_no_matplotlib() -> None:
    code = (
        "import sys\n"
        "from ctrkit.analysis import calibration_bins, roc_curve\n"
        "assert 'matplotlib' not in sys.modules and 'tensorflow' not in sys.modules\n"
        "from ctrkit.analysis import roc_figure\n"
        "roc_figure([0, 1], [0.1, 0.2])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
