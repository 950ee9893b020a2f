"""The median rule, and the observer that follows a training by it."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrkit.tuning import Objective
from ctrkit.tuning.pruning import Curves, MedianRule, TrialPruned

OTHERS = [[[100, 0.6], [200, 0.7]], [[100, 0.65], [200, 0.75]], [[100, 0.7], [200, 0.8]]]
RULE = MedianRule(objective=Objective("auc"), least_trials=3, least_rows=100)


def test_a_trial_below_the_median_of_the_others_averages_ends() -> None:
    # Averages up to 200 rows: 0.65, 0.7, 0.75.
    verdict = RULE.verdict([[100, 0.5], [200, 0.69]], OTHERS)
    assert verdict == "after 200 rows its best auc was 0.69, the median of 3 trials 0.7"


def test_its_best_value_counts_not_its_last() -> None:
    assert RULE.verdict([[100, 0.71], [200, 0.5]], OTHERS) is None


def test_curves_are_compared_up_to_as_many_rows() -> None:
    assert RULE.verdict([[100, 0.66]], OTHERS) is None  # Up to 100 rows the median is 0.65.
    assert RULE.verdict([[100, 0.64]], OTHERS) is not None


@pytest.mark.parametrize("changes", [{"least_trials": 4}, {"least_rows": 201}])
def test_a_trial_goes_on_while_there_is_too_little_to_judge_by(changes: dict) -> None:
    rule = MedianRule(objective=Objective("auc"), **{"least_trials": 3, "least_rows": 100, **changes})
    assert rule.verdict([[200, 0.1]], OTHERS) is None


def test_where_lower_is_better_the_higher_one_ends() -> None:
    rule = MedianRule(objective=Objective("log_loss"), least_trials=3, least_rows=0)
    assert rule.verdict([[200, 0.9]], OTHERS) is not None
    assert rule.verdict([[200, 0.1]], OTHERS) is None


curves = st.lists(st.lists(st.floats(0.5, 0.9), min_size=3, max_size=3), min_size=3, max_size=7)


@given(curves)
def test_a_trial_that_ends_early_is_never_the_best(values: list[list[float]]) -> None:
    """Of those it was compared with at least half had, at some point, a better value."""
    all_points = [[[100 * place, value] for place, value in enumerate(one, 1)] for one in values]
    trial, *others = all_points
    rule = MedianRule(objective=Objective("auc"), least_trials=1, least_rows=0)
    if rule.verdict(trial, others) is not None:
        best = max(value for _, value in trial)
        assert sum(max(value for _, value in other) > best for other in others) >= len(others) / 2
        assert best < statistics.median(statistics.fmean(value for _, value in other) for other in others)


def test_an_interrupted_training_reports_no_evaluation_twice() -> None:
    told, points = [], []
    follow = Curves(
        Objective("auc"),
        rows_per_step=10,
        start=[[50, 0.6], [100, 0.7]],
        told=lambda step, metrics: told.append(step),
        on_point=lambda curve: points.append([list(point) for point in curve]),
    )
    follow.on_metrics(7, {"loss": 0.5})
    follow.on_metrics(10, {"validation_auc": 0.71})
    assert points == [[[50, 0.6], [100, 0.71]]]
    assert told == [7, 10]


def test_what_ends_a_trial_comes_out_of_the_observer() -> None:
    def end(curve) -> None:
        raise TrialPruned("enough")

    follow = Curves(Objective("auc"), rows_per_step=1, told=lambda step, metrics: None, on_point=end)
    with pytest.raises(TrialPruned, match="enough"):
        follow.on_metrics(1, {"validation_auc": 0.5})
