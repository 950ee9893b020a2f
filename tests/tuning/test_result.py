"""What a search ends with: order, table, importance and figures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import CtrkitError
from ctrkit.tuning import (
    Importance,
    Objective,
    Space,
    Trial,
    TrialFiles,
    importance,
    importance_figure,
    parallel_figure,
    ranked,
    trial_table,
)
from ctrkit.tuning.board import Board
from ctrkit.tuning.options import TuningOptions
from ctrkit.tuning.ranking import drop_weights

AUC = Objective("auc")
SPACE = Space.parse(
    {
        "model.dim": [4, 8, 16],
        "model.dropout": {"float": [0.0, 0.5]},
        "training.table_learning_rate": {"float": [0.001, 0.1], "log": True},
    }
)


def trial(number: int, score: float | None, **changes) -> Trial:
    values = {"model.dim": 8, "model.dropout": 0.1, "training.table_learning_rate": 0.01}
    status = "completed" if score is not None else "failed"
    return Trial(id=f"{number:04d}", **{"values": values, "status": status, "objective": score, **changes})


def random_trials(count: int) -> list[Trial]:
    """Whose score depends on the learning rate, a little on dropout and not on dim."""
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        rate, dropout = float(10 ** random.uniform(-3, -1)), float(random.uniform(0, 0.5))
        values = {
            "model.dim": int(random.choice([4, 8, 16])),
            "model.dropout": dropout,
            "training.table_learning_rate": rate,
        }
        score = 0.8 - 0.02 * abs(math.log10(rate) + 2) - 0.005 * dropout + random.normal(0, 0.0005)
        found.append(trial(number, score, values=values))
    return ranked(found, AUC)


def test_whole_trainings_come_first_and_failures_last() -> None:
    trials = [
        trial(0, None),
        trial(1, 0.9, share=0.1),
        trial(2, 0.8),
        trial(3, 0.95, status="pruned"),
        trial(4, 0.7),
        Trial(id="0005", values={}, status="running"),
    ]
    assert [one.id for one in ranked(trials, AUC)] == ["0002", "0004", "0001", "0003", "0000"]
    assert [one.id for one in ranked(trials, Objective("log_loss"))][:2] == ["0004", "0002"]


def test_the_mean_over_seeds_decides_among_finalists() -> None:
    lucky = trial(0, 0.80, seeds={"1": {"auc": 0.70}, "2": {"auc": 0.72}})
    steady = trial(1, 0.78, seeds={"1": {"auc": 0.77}, "2": {"auc": 0.79}})
    single = trial(2, 0.81)
    assert [one.id for one in ranked([lucky, steady, single], AUC)] == ["0001", "0000", "0002"]
    text = trial_table([steady], AUC)
    assert "0.78000 ± 0.01000 (3 seeds)" in text


def test_the_table_shows_every_trial_with_its_values() -> None:
    trials = [
        trial(3, 0.8125, rows=19200, seconds=12.0),
        trial(1, 0.5, status="pruned", rows=4800, seconds=3.0),
        trial(2, None, reason="NanLossError: the loss is nan"),
    ]
    lines = trial_table(trials, AUC).splitlines()
    assert lines[0].split() == ["trial", "auc", "trained", "on", "dim", "dropout", "table_learning_rate"]
    assert lines[1].split() == ["0003", "0.81250", "19,200", "rows,", "12", "s", "8", "0.1", "0.01"]
    assert lines[2].endswith("pruned")
    assert lines[3].endswith("failed: NanLossError: the loss is nan")
    assert trial_table(trials, AUC, most=1).splitlines()[-1] == "  … and 2 more"


@pytest.fixture(scope="module")
def found() -> Importance:
    trials = random_trials(40)
    return importance([one.values for one in trials], [one.score for one in trials], SPACE)


def test_the_key_that_decides_is_the_most_important(found: Importance) -> None:
    assert found.keys[0] == "training.table_learning_rate"
    shares = dict(zip(found.keys, found.values, strict=True))
    assert shares["training.table_learning_rate"] > 5 * abs(shares["model.dim"])
    assert 0.5 < found.explained < 1
    assert found.trials == 40


def test_chance_is_not_taken_for_importance() -> None:
    trials = random_trials(40)
    scores = np.random.default_rng(1).normal(size=40)
    found = importance([one.values for one in trials], list(scores), SPACE)
    assert found.explained < 0.3
    axes = importance_figure(replace(found, explained=-0.1), objective="auc").axes[0]
    assert axes.get_title(loc="left") == "No key stands out"


def test_too_few_trials_say_so() -> None:
    trials = random_trials(7)
    assert importance([one.values for one in trials], [one.score for one in trials], SPACE) is None
    assert "Too few trials" in importance_figure(None, objective="auc").axes[0].get_title(loc="left")


def test_the_importance_plot_has_a_bar_for_each_key_of_its_length(found: Importance) -> None:
    axes = importance_figure(found, objective="auc").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found.keys)
    assert [bar.get_width() for bar in axes.patches] == [max(value, 0) for value in found.values]
    assert "training.table_learning_rate matters most" in axes.get_title(loc="left")


def test_the_parallel_plot_leads_each_trial_through_its_values_to_its_score() -> None:
    trials = [
        trial(0, 0.80, values={"model.dim": 16, "model.dropout": 0.5, "training.table_learning_rate": 0.1}),
        trial(1, 0.75, values={"model.dim": 4, "model.dropout": 0.25, "training.table_learning_rate": 0.01}),
        trial(
            2,
            0.70,
            status="pruned",
            values={"model.dim": 8, "model.dropout": 0.0, "training.table_learning_rate": 0.001},
        ),
        trial(3, None),
    ]
    axes = parallel_figure(trials, SPACE, AUC).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"0000", "0001", "0002"}
    heights = {name: list(np.round(line.get_ydata(), 6)) for name, line in lines.items()}
    assert heights == {
        "0000": [1.0, 1.0, 1.0, 1.0],
        "0001": [0.0, 0.5, 0.5, 0.5],  # 0.01 is half-way on a logarithmic axis.
        "0002": [0.5, 0.0, 0.0, 0.0],
    }
    assert lines["0002"].get_linestyle() == ":"
    assert axes.lines[-1].get_label() == "0000"  # On top.
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["model.\ndim", "model.\ndropout", "training.\ntable_learning_rate", "auc"]
    assert "Best auc: 0.8000 (trial 0000)" in axes.get_title(loc="left")


def test_null_is_a_value_with_a_place_of_its_own() -> None:
    space = Space.parse({"training.learning_rate_decay": [None, "linear"], "model.dim": [4, 8]})
    trials = [
        trial(0, 0.8, values={"training.learning_rate_decay": None, "model.dim": 8}),
        trial(1, 0.7, values={"training.learning_rate_decay": "linear", "model.dim": 4}),
    ]
    axes = parallel_figure(trials, space, AUC).axes[0]
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == {"0000": [0, 1, 1], "0001": [1, 0, 0]}
    marks = {(round(text.get_position()[0]), text.get_text()): text.get_position()[1] for text in axes.texts}
    assert marks[0, "null"] == 0
    assert marks[0, "linear"] == 1


def test_values_that_a_model_function_asked_for_have_axes_too() -> None:
    trials = [trial(0, 0.8, hp={"units": 64}), trial(1, 0.7, hp={"units": 16}), trial(2, 0.6, hp={"units": 32})]
    axes = parallel_figure(trials, SPACE, AUC).axes[0]
    at = [label.get_text() for label in axes.get_xticklabels()].index("units")
    assert {line.get_label(): line.get_ydata()[at] for line in axes.lines} == {"0000": 1.0, "0001": 0.0, "0002": 0.5}


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(CtrkitError, match="No trial of the search has a score"):
        parallel_figure([trial(0, None)], SPACE, AUC)


def test_weights_of_all_but_the_best_trial_are_removed(tmp_path: Path) -> None:
    files = TrialFiles(tmp_path)
    for number, score in enumerate((0.7, 0.8, 0.75)):
        files.write(trial(number, score))
        for name in ("best", "checkpoints"):
            (files.run_dir(f"{number:04d}") / name).mkdir(parents=True)
    files.write(Trial(id="0003", values={}, status="running"))
    (files.run_dir("0003") / "checkpoints").mkdir(parents=True)
    drop_weights(files, AUC)
    kept = sorted(str(path.relative_to(files.folder)) for path in files.folder.glob("*/*"))
    assert kept == ["0001/best", "0001/checkpoints", "0003/checkpoints"]


def test_the_board_says_what_began_what_ended_and_the_best_so_far(tmp_path: Path) -> None:
    files, said = TrialFiles(tmp_path), []
    files.write(trial(0, 0.70, attempts=1, seconds=60.0))
    board = Board(files, TuningOptions(trials=4), said.append)  # Of a search that goes on: trial 0000 is old news.
    files.write(trial(1, None, status="running", attempts=1))
    board.look()
    board.look()
    files.write(trial(1, 0.72, attempts=1, seconds=60.0))
    board.look()
    files.write(trial(2, None, status="running", attempts=2))
    board.look()
    assert said == [
        "trial 0001 (2 of 4): dim=8 dropout=0.1 table_learning_rate=0.01",
        "trial 0001: auc 0.72000 after 60 s; best 0.72000 (trial 0001); about 2 min left",
        "trial 0002 (3 of 4): dim=8 dropout=0.1 table_learning_rate=0.01, once more, from its last checkpoint",
    ]
