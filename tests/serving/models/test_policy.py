"""Which versions a policy asks for."""

from __future__ import annotations

import pytest

from ctrkit.serving.models import All, Latest, Policy, Specific
from ctrkit.serving.models.policy import wanted


@pytest.mark.parametrize(
    ("policy", "unusable", "expected"),
    [
        (Latest(), set(), [10]),
        (Latest(2), set(), [10, 9]),
        (Latest(9), set(), [10, 9, 2, 1]),
        (Latest(), {10}, [9]),  # A broken version does not count.
        (Latest(2), {10, 2}, [9, 1]),
        (Latest(), {1, 2, 9, 10}, []),
        (All(), {9}, [10, 2, 1]),
        (Specific((1, 9, 77)), set(), [9, 1]),
        (Specific((1, 9)), {9}, [1]),
    ],
)
def test_versions_asked_for(policy: Policy, unusable: set[int], expected: list[int]) -> None:
    assert wanted(policy, [2, 10, 1, 9], lambda version: version not in unusable) == expected


def test_the_latest_policy_looks_at_no_more_versions_than_it_needs() -> None:
    asked: list[int] = []
    wanted(Latest(2), range(1000), lambda version: bool(asked.append(version) or version != 998))
    assert asked == [999, 998, 997]
