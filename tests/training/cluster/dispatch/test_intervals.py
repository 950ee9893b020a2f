"""A set of intervals behaves as a set of numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ctrkit.training.cluster.dispatch.intervals import Intervals

CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "take"]), st.integers(0, 30), st.integers(0, 12)), max_size=30
)


@given(CHANGES)
def test_any_changes_give_what_a_set_of_numbers_gives(changes: list[tuple[str, int, int]]) -> None:
    intervals, numbers = Intervals(), set[int]()
    for change, first, count in changes:
        if change == "add":
            intervals.add(first, first + count)
            numbers |= set(range(first, first + count))
        elif change == "remove":
            intervals.remove(first, first + count)
            numbers -= set(range(first, first + count))
        else:
            taken = intervals.take(count + 1)
            expected = sorted(numbers)[: count + 1]
            expected = [number for k, number in enumerate(expected) if number == expected[0] + k]
            assert (list(range(*taken)) if taken else []) == expected
            numbers -= set(expected)
        pairs = list(intervals)
        assert [number for pair in pairs for number in range(*pair)] == sorted(numbers)
        assert all(end < first for (_, end), (first, _) in itertools.pairwise(pairs))  # Disjoint and merged.
        assert len(intervals) == len(numbers)
        assert [number in intervals for number in range(45)] == [number in numbers for number in range(45)]
