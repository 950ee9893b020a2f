"""Paired differences: against all pairs, a published example, a bootstrap, and repeated draws of the world."""

from __future__ import annotations

import io

import numpy as np
import pytest
from sklearn import metrics

from ctrkit.analysis import auc_difference, log_loss_difference
from ctrkit.errors import ConfigError, CtrkitError, ShapeError
from ctrkit.metrics import auc, log_loss
from tests.analysis.known_world import World, draw

# Albumin, total protein, K-G score and the outcome of 43 patients: DeLong et al. (1988), as SAS/STAT's documentation of
# PROC LOGISTIC prints them ("Comparing Receiver Operating Characteristic Curves").
PATIENTS = np.loadtxt(
    io.StringIO(
        "3.0 5.8 10 0;3.2 6.3 5 1;3.9 6.8 3 1;2.8 4.8 6 0;3.2 5.8 3 1;0.9 4.0 5 0;2.5 5.7 8 0;1.6 5.6 5 1;3.8 5.7 5 1;"
        "3.7 6.7 6 1;3.2 5.4 4 1;3.8 6.6 6 1;4.1 6.6 5 1;3.6 5.7 5 1;4.3 7.0 4 1;3.6 6.7 4 0;2.3 4.4 6 1;4.2 7.6 4 0;"
        "4.0 6.6 6 0;3.5 5.8 6 1;3.8 6.8 7 1;3.0 4.7 8 0;4.5 7.4 5 1;3.7 7.4 5 1;3.1 6.6 6 1;4.1 8.2 6 1;4.3 7.0 5 1;"
        "4.3 6.5 4 1;3.2 5.1 5 1;2.6 4.7 6 1;3.3 6.8 6 0;1.7 4.0 7 0;3.7 6.1 5 1;3.3 6.3 7 1;4.2 7.7 6 1;3.5 6.2 5 1;"
        "2.9 5.7 9 0;2.1 4.8 7 1;2.8 6.2 8 0;4.0 7.0 7 1;3.3 5.7 6 1;3.7 6.9 5 1;3.6 6.6 5 1".replace(";", "\n")
    )
)


def rival(world: World, seed: int = 1) -> np.ndarray:
    """Scores of another, worse model of the same world, with ties."""
    random = np.random.default_rng(seed)
    return np.round(np.clip(world.truth + random.normal(0, 0.1, len(world.truth)), 0.001, 0.999), 3)


@pytest.mark.parametrize(
    ("column", "value", "low", "high", "p"),
    [(0, 0.0108, -0.1761, 0.1976, 0.9102), (1, -0.0780, -0.2830, 0.1271, 0.4561)],
)
def test_the_published_example_comes_out_as_published(
    column: int, value: float, low: float, high: float, p: float
) -> None:
    found = auc_difference(PATIENTS[:, 3], 10 - PATIENTS[:, 2], PATIENTS[:, column])
    assert found == pytest.approx((value, low, high, p), abs=5.1e-5)
    assert not found.is_significant


def test_the_variance_is_delongs_by_all_pairs() -> None:
    world = draw(300, seed=3)
    second = rival(world)

    def components(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        clicks, others = scores[world.labels == 1], scores[world.labels == 0]
        right = (clicks[:, None] > others[None]) + 0.5 * (clicks[:, None] == others[None])
        return right.mean(axis=1), right.mean(axis=0)

    (a10, a01), (b10, b01) = components(world.scores), components(second)
    covariance = np.cov(np.stack([a10, b10])) / len(a10) + np.cov(np.stack([a01, b01])) / len(a01)
    spread = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5
    found = auc_difference(world.labels, world.scores, second)
    assert found.value == pytest.approx(b10.mean() - a10.mean(), abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * spread, rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_bootstrap_finds_the_same_intervals(weighted: bool) -> None:
    world = draw(800, seed=4)
    weights = world.weights if weighted else None
    second = rival(world)
    random = np.random.default_rng(0)
    aucs, losses = [], []
    for _ in range(300):
        rows = random.integers(0, len(world.labels), len(world.labels))
        w = None if weights is None else weights[rows]
        y, a, b = world.labels[rows], world.scores[rows], second[rows]
        aucs.append(auc(y, b, w) - auc(y, a, w))
        losses.append(log_loss(y, b, w) - log_loss(y, a, w))
    for found, drawn in (
        (auc_difference(world.labels, world.scores, second, weights), aucs),
        (log_loss_difference(world.labels, world.scores, second, weights), losses),
    ):
        spread = np.std(drawn)
        assert found.value == pytest.approx(np.mean(drawn), abs=0.2 * spread)
        assert (found.high - found.low) / (2 * 1.96) == pytest.approx(spread, rel=0.12)  # 300 draws know it to 4%.


def test_models_that_are_equally_good_seldom_differ() -> None:
    """Of 400 pairs of such models about 5% are called different."""
    called = {"auc": 0, "log_loss": 0}
    for seed in range(400):
        world = draw(500, seed=seed)
        random = np.random.default_rng([seed, 1])
        logit = np.log(world.truth / (1 - world.truth))
        one, two = (1 / (1 + np.exp(-(logit + random.normal(0, 0.5, 500)))) for _ in range(2))
        called["auc"] += auc_difference(world.labels, one, two).p < 0.05
        called["log_loss"] += log_loss_difference(world.labels, one, two).p < 0.05
    assert all(8 <= count <= 34 for count in called.values()), called  # 20, give or take three deviations of 4.4.


def test_a_better_model_is_found_and_the_sign_is_the_seconds() -> None:
    world = draw(4000, seed=5)
    found = auc_difference(world.labels, rival(world), world.truth)
    assert found.low > 0
    assert found.p < 0.01
    assert found.is_significant
    back = auc_difference(world.labels, world.truth, rival(world))
    assert back == pytest.approx((-found.value, -found.high, -found.low, found.p))
    loss = log_loss_difference(world.labels, rival(world), world.truth)
    expected = metrics.log_loss(world.labels, world.truth) - metrics.log_loss(world.labels, rival(world))
    assert loss.value == pytest.approx(expected, abs=1e-12)
    assert loss.high < 0


def test_the_same_scores_do_not_differ(world: World) -> None:
    assert auc_difference(world.labels, world.scores, world.scores) == (0.0, 0.0, 0.0, 1.0)
    assert log_loss_difference(world.labels, world.scores, world.scores) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_is_what_makes_the_interval_narrow(world: World) -> None:
    """Two nearly equal models: each AUC is known to 0.02, their difference to a tenth of that."""
    from ctrkit.analysis import auc_interval

    near = world.scores + np.random.default_rng(0).normal(0, 0.005, len(world.scores))
    alone, paired = auc_interval(world.labels, world.scores), auc_difference(world.labels, world.scores, near)
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_one_class_alone_has_no_auc_to_compare() -> None:
    assert np.isnan(auc_difference([1, 1], [0.1, 0.2], [0.2, 0.1])).all()


def test_bad_arguments_are_named(world: World) -> None:
    with pytest.raises(ShapeError, match=r"Got 2 labels, 1 scores"):
        auc_difference([0, 1], [0.1, 0.2], [0.1])
    with pytest.raises(CtrkitError, match=r"between -1 and 2, expected probabilities.*sigmoid"):
        log_loss_difference([0, 1], [0.1, 0.2], [-1, 2])
    with pytest.raises(ConfigError, match=r"`confidence` is 95, expected a share"):
        auc_difference(world.labels, world.scores, rival(world), confidence=95)
