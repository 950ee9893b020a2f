"""Options of a cluster: what cannot be is refused, and how many gradients make an update."""

from __future__ import annotations

from typing import Any

import pytest

from ctrkit.errors import ConfigError
from ctrkit.training.cluster import ClusterOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "asynch"}, r"cluster\.mode is 'asynch'\. Did you mean 'async'\?"),
        ({"placement": "greed"}, r"cluster\.placement is 'greed'\. Did you mean 'greedy'\?"),
        ({"ps": 0}, r"cluster\.ps is 0, expected a whole number of at least 1, e\.g\. cluster\.ps=1"),
        ({"ps": 2.0}, r"cluster\.ps is 2\.0, expected a whole number"),
        ({"workers": True}, r"cluster\.workers is True"),
        ({"lease_rows": 0}, r"cluster\.lease_rows is 0"),
        ({"mode": "sync", "backups": -1}, r"cluster\.backups is -1, expected a whole number of at least 0"),
        ({"mode": "async", "backups": 1}, r"only synchronous training waits for gradients\. Type training=sync_ps"),
        ({"lost_after": 0}, r"cluster\.lost_after is 0, expected seconds above 0"),
        ({"come_up_within": float("nan")}, r"cluster\.come_up_within is nan, expected seconds above 0"),
        ({"hold_within": "30"}, r"cluster\.hold_within is '30', expected seconds above 0"),
        ({"evaluator": "no"}, r"cluster\.evaluator is 'no', expected true or false"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClusterOptions(**options)


@pytest.mark.parametrize(
    ("options", "workers", "expected"),
    [
        ({"mode": "async"}, 3, 1),  # Each gradient is an update.
        ({"mode": "none"}, 1, 1),
        ({"mode": "sync"}, 1, 1),
        ({"mode": "sync"}, 3, 3),
        ({"mode": "sync", "backups": 1}, 3, 2),
        ({"mode": "sync", "backups": 2}, 3, 1),
    ],
)
def test_backups_are_not_waited_for(options: dict[str, Any], workers: int, expected: int) -> None:
    assert ClusterOptions(**options).aggregated(workers) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_backups_leave_at_least_one_gradient(workers: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"backups is 2 of {workers} workers: at least one has to count\. Take fewer"
    ):
        ClusterOptions(mode="sync", backups=2).aggregated(workers)
