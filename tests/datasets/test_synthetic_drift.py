"""A log that changes with time, and one that does not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ctrkit.datasets import SyntheticLog, SyntheticOptions
from ctrkit.errors import ConfigError


def frame(drift: float) -> pl.DataFrame:
    return pl.concat(SyntheticLog(SyntheticOptions(rows=60_000, users=1_000, ads=100, drift=drift)).frames())


@pytest.fixture(scope="module")
def logs() -> dict[float, pl.DataFrame]:
    return {drift: frame(drift) for drift in (0.0, 0.8)}


def share_of_newcomers(log: pl.DataFrame, column: str) -> float:
    half = len(log) // 2
    return float((~log[column][half:].is_in(log[column][:half].unique().to_list())).mean())


def test_with_drift_users_and_ads_come_up_later(logs) -> None:
    for column in ("user_id", "ad_id"):
        assert share_of_newcomers(logs[0.0], column) < 0.01
        assert 0.05 < share_of_newcomers(logs[0.8], column) < 0.4


def test_with_drift_what_was_clicked_first_says_less_of_what_is_clicked_last(logs) -> None:
    def kept(log: pl.DataFrame) -> float:
        """Correlation of the click rates of segments by topics between the first and the last third."""
        third = len(log) // 3
        rates = [
            part.group_by("segment", "topic").agg(pl.col("clicked").mean(), pl.len().alias("n"))
            for part in (log[:third], log[-third:])
        ]
        both = rates[0].join(rates[1], on=["segment", "topic"]).filter(pl.col("n") > 100)
        return float(np.corrcoef(both["clicked"], both["clicked_right"])[0, 1])

    assert kept(logs[0.0]) > 0.9
    assert kept(logs[0.8]) < 0.75


def test_drift_is_between_0_and_1() -> None:
    with pytest.raises(ConfigError, match=r"`drift` is 1\.5, expected a number from 0 to 1"):
        SyntheticOptions(drift=1.5)
