"""Options of a search, its objective and its budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrkit.errors import ConfigError
from ctrkit.tuning import Objective, TuningOptions
from ctrkit.tuning.budget import Budget
from ctrkit.tuning.task import Extent


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "aauc"}, r"tuning\.objective is 'aauc', expected one of auc, .* Did you mean 'auc'\?"),
        ({"objective": "pcoc"}, r"PCOC itself is best in the middle, at 1: type pcoc_distance"),
        ({"method": "baysian"}, r"tuning\.method is 'baysian', .* Did you mean 'bayesian'\?"),
        ({"keep": "none"}, r"tuning\.keep is 'none', expected one of best, all"),
        ({"trials": 0}, r"tuning\.trials is 0, expected a whole number of at least 1"),
        ({"workers": 1.5}, r"tuning\.workers is 1\.5, expected a whole number"),
        ({"minutes": 0}, r"tuning\.minutes is 0, expected a number above 0, or null"),
        ({"prune_after": 1.5}, r"tuning\.prune_after is 1\.5, expected a share between 0 and 1"),
        ({"trials": None}, r"tuning\.method=bayesian would never end: type a budget, tuning\.trials=20"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_to_type(changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TuningOptions(**changes)


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("auc", {"auc": 0.8}, {"auc": 0.7}),
        ("grouped_auc", {"grouped_auc": 0.8}, {"grouped_auc": 0.7}),
        ("log_loss", {"log_loss": 0.4}, {"log_loss": 0.5}),
        ("pcoc_distance", {"pcoc": 1.01}, {"pcoc": 0.95}),
        ("pcoc_distance", {"pcoc": 0.99}, {"pcoc": 1.2}),
    ],
)
def test_each_objective_knows_which_is_better(name: str, better: dict, worse: dict) -> None:
    objective = Objective(name)
    first, second = objective.of(better), objective.of(worse)
    assert objective.is_better(first, second)
    assert not objective.is_better(second, first)
    assert objective.rank(first) < objective.rank(second) < objective.rank(math.nan)
    assert objective.is_better(second, math.nan)
    assert not objective.is_better(math.nan, second)
    assert (first > second) == (objective.direction == "max")


def test_reports_of_the_validation_part_are_understood() -> None:
    assert Objective("auc").of({"validation_auc": 0.75}) == 0.75
    assert math.isnan(Objective("auc").of({"loss": 0.4}))
    assert math.isnan(Objective("pcoc_distance").of({"pcoc": 0.0}))


def test_twice_too_many_clicks_is_as_far_as_half_of_them() -> None:
    far = Objective("pcoc_distance")
    assert far.of({"pcoc": 2.0}) == pytest.approx(far.of({"pcoc": 0.5})) == pytest.approx(math.log(2))


def test_whatever_runs_out_first_ends_the_search() -> None:
    budget = Budget(trials=10, minutes=2, rows=1000)
    assert budget.spent(trials=9, seconds=119, rows=999) is None
    assert budget.spent(trials=10, seconds=0, rows=0) == "tuning.trials=10"
    assert budget.spent(trials=0, seconds=120, rows=0) == "tuning.minutes=2"
    assert budget.spent(trials=0, seconds=0, rows=1000) == "tuning.rows=1000"
    assert Budget().spent(trials=10**6, seconds=1e9, rows=10**12) is None


def test_the_time_left_follows_the_pace_so_far() -> None:
    assert Budget(trials=10).seconds_left(trials=5, ended=4, seconds=40, rows=0) == 60
    assert Budget(trials=10, minutes=1).seconds_left(trials=5, ended=4, seconds=40, rows=0) == 20
    assert Budget(rows=1000).seconds_left(trials=5, ended=4, seconds=40, rows=250) == 120
    assert Budget(trials=10).seconds_left(trials=1, ended=0, seconds=0, rows=0) is None


@given(steps=st.integers(1, 5000), every=st.integers(1, 5000), share=st.floats(0.01, 1.0))
def test_a_share_of_a_training_ends_where_the_whole_one_evaluates(steps: int, every: int, share: float) -> None:
    found = Extent(rows_per_step=1, steps=steps, evaluate_every=every, can_continue=True).steps_of(share)
    if found is None:
        assert share >= 1
        return
    assert 1 <= found <= steps
    assert found >= min(share * steps, steps) - 1e-6
    assert found < every or found % every == 0 or found == steps
