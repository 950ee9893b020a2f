"""keras-tuner's oracles, killed between any two writes: no trial is lost and none is counted twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ctrkit.tuning import Space, TrialFiles, TuningOptions
from tests.tuning.searches import SPEC, Killed, outcomes, score, search

METHODS = {
    "random": {"trials": 7},
    "bayesian": {"trials": 5, "initial": 3},
    "hyperband": {"trials": None, "rungs": 2, "factor": 3},
    "grid": {"trials": 7},
}


# A guess of keras-tuner's Gaussian process takes most of a second.
SLOW = (pytest.mark.slow, pytest.mark.turn(0))
EACH = [pytest.param(method, marks=SLOW if method == "bayesian" else ()) for method in METHODS]


def options(method: str, **changes) -> TuningOptions:
    return TuningOptions(method=method, **{**METHODS[method], **changes})


@pytest.mark.parametrize("method", EACH)
def test_a_search_killed_anywhere_ends_as_one_that_was_not(method: str, tmp_path: Path) -> None:
    """Killed at its first step, resumed and killed at the second step of what is left, and so on to its end."""
    undisturbed, _ = search(tmp_path / "undisturbed", options(method))
    lives, left, places = 0, 1, Counter[str]()

    def step(place: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            places[place] += 1
            raise Killed(place)

    while True:
        lives += 1
        left = lives
        try:
            search(tmp_path / "killed", options(method), step=step)
            break
        except Killed:
            assert lives < 50
    assert set(places) == {"before a save", "after a save", "before training", "after training"}
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "undisturbed")
    assert len(TrialFiles(tmp_path / "killed").all()) == len(undisturbed)


def test_a_trial_that_ended_before_the_kill_is_not_trained_again(tmp_path: Path) -> None:
    count = 0

    def step(place: str) -> None:
        nonlocal count
        count += place == "after training"
        if count == 3:
            raise Killed

    with pytest.raises(Killed):
        search(tmp_path, options("random"), step=step)
    trained, oracle = search(tmp_path, options("random"))
    assert trained == ["0003", "0004", "0005", "0006"]
    assert sorted(oracle.trials) == [f"{number:04d}" for number in range(7)]
    assert len(oracle.end_order) == 7


def test_the_state_is_one_file_that_is_always_whole(tmp_path: Path) -> None:
    def step(place: str) -> None:
        if place == "after a save":
            content = json.loads((tmp_path / "oracle.json").read_text())
            assert set(content) == {"seconds", "oracle", "trials"}
            assert set(content["oracle"]["start_order"]) == set(content["trials"])

    search(tmp_path, options("random"), step=step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["oracle.json", "trials"]


@pytest.mark.parametrize("method", METHODS)
def test_the_experiments_own_values_come_first(method: str, tmp_path: Path) -> None:
    space = Space.parse(SPEC)
    own = {"model.dim": 16, "model.hidden": [16, 8], "training.table_learning_rate": 0.05}
    search(tmp_path, options(method, trials=1), first=space.encode(own))
    assert TrialFiles(tmp_path).read("0000").values == own


@pytest.mark.parametrize("method", EACH)
def test_no_values_are_tried_twice(method: str, tmp_path: Path) -> None:
    space = Space.parse({"model.dim": [4, 8, 16], "model.hidden": [[8], [16, 8]]})
    search(tmp_path, options(method, trials=50), space=space)
    trials = [trial for trial in TrialFiles(tmp_path).all() if trial.continues is None]
    tried = Counter(str(trial.values) for trial in trials)
    assert max(tried.values()) == 1
    assert len(tried) <= 6


def test_a_grid_tries_every_combination(tmp_path: Path) -> None:
    space = Space.parse({"model.dim": [4, 8, 16], "model.hidden": [[8], [16, 8]], "training.epochs": {"int": [1, 3]}})
    _, oracle = search(tmp_path, options("grid", trials=None), space=space)
    tried = {
        (t.values["model.dim"], tuple(t.values["model.hidden"]), t.values["training.epochs"]) for t in all_of(tmp_path)
    }
    assert tried == {(dim, hidden, epochs) for dim in (4, 8, 16) for hidden in ((8,), (16, 8)) for epochs in (1, 2, 3)}
    assert oracle.stopped_because == "every combination was tried"


@pytest.mark.slow
@pytest.mark.turn(0)
def test_bayesian_search_comes_nearer_to_the_best_than_chance(tmp_path: Path) -> None:
    space = Space.parse({"training.table_learning_rate": {"float": [0.0001, 10.0], "log": True}})
    best = {}
    for method in ("random", "bayesian"):
        search(tmp_path / method, options(method, trials=14), space=space)
        best[method] = max(trial.score for trial in all_of(tmp_path / method))
    assert best["bayesian"] > score({"training.table_learning_rate": 0.03})
    assert best["bayesian"] > best["random"]


def test_hyperband_lets_the_best_of_a_round_go_on_with_more_rows(tmp_path: Path) -> None:
    search(tmp_path, options("hyperband"))
    trials = all_of(tmp_path)
    starts = [trial for trial in trials if trial.share < 1]
    promoted = [trial for trial in trials if trial.continues is not None]
    assert {round(trial.share, 3) for trial in starts} == {0.333}
    assert {trial.continues for trial in promoted} == {
        trial.id for trial in sorted(starts, key=lambda one: -one.score)[: len(promoted)]
    }
    for trial in promoted:
        assert trial.share == 1
        assert trial.values == next(one.values for one in trials if one.id == trial.continues)


def test_a_lower_log_loss_goes_on_where_that_is_the_objective(tmp_path: Path) -> None:
    search(tmp_path, options("hyperband", objective="log_loss"))
    trials = all_of(tmp_path)
    starts = sorted((trial for trial in trials if trial.share < 1), key=lambda one: one.score)
    promoted = {trial.continues for trial in trials if trial.continues is not None}
    assert promoted == {trial.id for trial in starts[: len(promoted)]}


def test_a_budget_of_rows_ends_the_search(tmp_path: Path) -> None:
    _, oracle = search(tmp_path, options("random", trials=None, rows=2500))  # 900 rows a trial.
    assert len(oracle.trials) == 3
    assert oracle.stopped_because == "tuning.rows=2500"


@pytest.mark.parametrize("method", [one for one in EACH if one.values != ("hyperband",)])
def test_a_larger_budget_goes_on_with_the_same_search(method: str, tmp_path: Path) -> None:
    search(tmp_path / "at once", options(method, trials=5))
    search(tmp_path / "in two", options(method, trials=4))
    trained, _ = search(tmp_path / "in two", options(method, trials=5))
    assert trained == ["0004"]
    assert outcomes(tmp_path / "in two") == outcomes(tmp_path / "at once")


def test_three_failures_in_a_row_end_the_search(tmp_path: Path) -> None:
    def judge(trial):
        return 0.7 if trial.id == "0000" else None

    trained, oracle = search(tmp_path, options("random"), judge=judge)
    assert trained == ["0000", "0001", "0002", "0003"]
    assert oracle.stopped_because == "3 trials failed one after the other"


def test_the_same_seed_draws_the_same_values_and_another_draws_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        search(tmp_path / name, options("random", seed=seed))
    assert outcomes(tmp_path / "a") == outcomes(tmp_path / "b") != outcomes(tmp_path / "c")


def test_a_score_that_lost_digits_on_the_wire_is_not_believed(tmp_path: Path) -> None:
    """keras-tuner's messages hold scores as float32; two trials could change places."""
    from keras_tuner.engine.trial import Trial as KerasTrial

    from ctrkit.tuning.oracle import make_oracle

    space = Space.parse(SPEC)
    oracle = make_oracle(tmp_path, options("random"), space)
    hp = oracle.get_space()
    space.declare(hp)
    oracle.update_space(hp)
    trial = oracle.create_trial("tuner0")
    over_the_wire = KerasTrial.from_proto(trial.to_proto())
    TrialFiles(tmp_path).update(trial.trial_id, status="completed", objective=0.123456789)
    over_the_wire.status = "COMPLETED"
    oracle.update_trial(trial.trial_id, {"auc": float(np.float32(0.123456789))})
    oracle.end_trial(over_the_wire)
    assert oracle.trials[trial.trial_id].score == 0.123456789


def all_of(folder: Path):
    return TrialFiles(folder).all()
