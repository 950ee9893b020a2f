"""Intervals of all metrics: centres by another route, widths against repeated draws of the world."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from ctrkit.analysis import metric_differences, metric_intervals
from ctrkit.errors import ConfigError
from ctrkit.metrics import auc, log_loss
from tests.analysis.known_world import World, draw


def clustered(users: int, seed: int) -> tuple[World, np.ndarray]:
    """A world whose rows come from users with tastes of their own, which the scores do not know."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), 8)
    logit = random.normal(-0.5, 1.0, len(user))
    truth = 1 / (1 + np.exp(-(logit + random.normal(0, 1.2, users)[user])))
    labels = (random.random(len(user)) < truth).astype(np.float32)
    return World(labels, 1 / (1 + np.exp(-logit)), np.ones(len(user)), truth), user


def by_hand(world: World, weights: np.ndarray | None) -> dict[str, float]:
    w = np.ones(len(world.labels)) if weights is None else weights
    return {
        "auc": auc(world.labels, world.scores, w),
        "log_loss": log_loss(world.labels, world.scores, w),
        "label_rate": np.average(world.labels, weights=w),
        "mean_score": np.average(world.scores, weights=w),
        "pcoc": np.average(world.scores, weights=w) / np.average(world.labels, weights=w),
    }


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("resampled", [0, 10_000])  # 0: normal intervals; else a bootstrap.
def test_each_metric_lies_in_an_interval_as_wide_as_it_varies(weighted: bool, resampled: int) -> None:
    worlds = [draw(1000, seed=seed) for seed in range(120)]
    truth = [by_hand(one, one.weights if weighted else None) for one in worlds]
    found = [
        metric_intervals(one.labels, one.scores, one.weights if weighted else None, resampled=resampled)
        for one in worlds[:8]
    ]
    assert set(found[0]) == set(truth[0])
    for name, value in truth[0].items():
        assert found[0][name].estimate == pytest.approx(value, abs=1e-9)
        width = np.mean([one[name].high - one[name].low for one in found]) / (2 * 1.96)
        assert width == pytest.approx(np.std([one[name] for one in truth]), rel=0.25), name  # 120 draws know 6%.


@pytest.mark.parametrize("resampled", [0, 10_000])
def test_rows_of_one_user_count_as_drawn_together(resampled: int) -> None:
    drawn = [clustered(150, seed) for seed in range(150)]
    rates = [world.labels.mean() for world, _ in drawn]
    world, user = drawn[0]
    grouped = metric_intervals(world.labels, world.scores, None, user, resampled=resampled)
    alone = metric_intervals(world.labels, world.scores, resampled=resampled)
    width, naive = ((one["label_rate"].high - one["label_rate"].low) / (2 * 1.96) for one in (grouped, alone))
    assert width == pytest.approx(np.std(rates), rel=0.25)
    assert naive < 0.8 * width
    rows_of = [user == one for one in range(150) if 0 < world.labels[user == one].mean() < 1]
    areas = [metrics.roc_auc_score(world.labels[rows], world.scores[rows]) for rows in rows_of]
    assert grouped["grouped_auc"].estimate == pytest.approx(np.mean(areas))
    assert grouped["grouped_auc"].low < grouped["grouped_auc"].estimate < grouped["grouped_auc"].high
    assert "grouped_auc" not in alone


def test_a_bootstrap_and_the_normal_interval_agree_on_many_rows() -> None:
    world = draw(20_000, seed=1)
    drawn, normal = (metric_intervals(world.labels, world.scores, resampled=rows) for rows in (20_000, 0))
    for name, one in normal.items():
        width = one.high - one.low
        assert drawn[name].low == pytest.approx(one.low, abs=0.1 * width)
        assert drawn[name].high == pytest.approx(one.high, abs=0.1 * width)


def test_metrics_that_the_rows_do_not_define_are_left_out() -> None:
    assert set(metric_intervals([0, 0], [0.1, 0.2])) == {"log_loss", "label_rate", "mean_score"}
    assert set(metric_intervals([1, 1], [0.1, 0.2])) == {"log_loss", "label_rate", "mean_score", "pcoc"}
    (one,) = {found["log_loss"] for found in [metric_intervals([1], [0.5], resampled=rows) for rows in (0, 9)]}
    assert one == pytest.approx((np.log(2),) * 3)


def test_a_difference_of_users_rows_is_less_certain_than_of_as_many_users() -> None:
    world, user = clustered(300, seed=3)
    random = np.random.default_rng(0)
    taste = random.normal(0, 1.0, 300)[user]
    second = 1 / (1 + np.exp(-(np.log(world.scores / (1 - world.scores)) + taste)))  # Wrong in whole users.
    grouped = metric_differences(world.labels, world.scores, second, groups=user)
    alone = metric_differences(world.labels, world.scores, second)
    assert grouped["auc"].value == pytest.approx(alone["auc"].value)
    assert set(grouped) == {"auc", "log_loss", "pcoc", "grouped_auc"}
    drawn = []
    for _ in range(200):
        rows = np.concatenate([np.arange(8) + 8 * one for one in random.integers(0, 300, 300)])
        drawn.append(log_loss(world.labels[rows], second[rows]) - log_loss(world.labels[rows], world.scores[rows]))
    width = (grouped["log_loss"].high - grouped["log_loss"].low) / (2 * 1.96)
    assert width == pytest.approx(np.std(drawn), rel=0.15)
    assert alone["log_loss"].high - alone["log_loss"].low < 0.9 * (grouped["log_loss"].high - grouped["log_loss"].low)
    assert grouped["grouped_auc"].value == pytest.approx(0, abs=1e-12)  # Within a user the order is the same.


def test_a_confidence_that_means_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`confidence` is 95"):
        metric_intervals([0, 1], [0.1, 0.2], confidence=95)
