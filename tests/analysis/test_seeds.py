"""The interval over seeds: its formula against scipy, its promise against draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ctrkit.analysis import over_seeds
from ctrkit.analysis.seeds import student_quantile
from ctrkit.errors import ConfigError


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.975, 0.995])
def test_students_quantiles_are_scipys(freedom: int, share: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("runs", "further"), [(5, None), (5, 1), (3, 10), (2, 2)])
def test_the_mean_of_further_runs_is_held_as_often_as_promised(runs: int, further: int | None) -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        found = over_seeds(random.normal(0.77, 0.002, runs).tolist(), further=further)
        assert found is not None
        held += found.low <= random.normal(0.77, 0.002, further or runs).mean() <= found.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)  # Three deviations.


def test_mean_and_deviation_are_of_the_runs() -> None:
    found = over_seeds([0.70, 0.72, 0.74])
    assert found is not None
    assert (found.mean, found.deviation, found.runs) == pytest.approx((0.72, 0.02, 3))
    assert found.high - found.mean == pytest.approx(found.mean - found.low)


def test_one_run_says_nothing_of_the_spread() -> None:
    assert over_seeds([0.7]) is None
    assert over_seeds([]) is None


def test_bad_options_are_named() -> None:
    with pytest.raises(ConfigError, match="`further` is 0, expected 1 run or more"):
        over_seeds([0.1, 0.2], further=0)
    with pytest.raises(ConfigError, match="`confidence` is 2"):
        over_seeds([0.1, 0.2], confidence=2)
