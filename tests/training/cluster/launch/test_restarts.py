"""How often a role is started again, and after which wait."""

from __future__ import annotations

import pytest

from ctrkit.errors import ConfigError
from ctrkit.training.cluster.launch.restarts import RestartPolicy, Restarts


def test_each_restart_waits_twice_as_long_up_to_the_longest() -> None:
    restarts = Restarts(RestartPolicy(times=5, first_wait=1.0, longest_wait=5.0))
    assert [restarts.wait(float(second)) for second in range(6)] == [1.0, 2.0, 4.0, 5.0, 5.0, None]
    assert restarts.count == 5


def test_old_restarts_do_not_count() -> None:
    restarts = Restarts(RestartPolicy(times=1, within=60.0))
    assert restarts.wait(0.0) == 1.0
    assert restarts.wait(59.0) is None
    assert restarts.wait(60.0) == 1.0
    assert restarts.count == 2


def test_very_many_restarts_do_not_overflow_the_wait() -> None:
    restarts = Restarts(RestartPolicy(times=5000))
    assert [restarts.wait(0.0) for _ in range(3000)][-1] == 30.0


def test_no_restarts_at_all() -> None:
    assert Restarts(RestartPolicy(times=0)).wait(0.0) is None


def test_a_policy_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.restarts\.times: got -1, expected 0 or more"):
        RestartPolicy(times=-1)
    with pytest.raises(ConfigError, match=r"cluster\.restarts\.within: got nan"):
        RestartPolicy(within=float("nan"))
