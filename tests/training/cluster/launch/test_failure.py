"""The story of a failure: who was first, who followed, what is over."""

from __future__ import annotations

from pathlib import Path

from ctrkit.training.cluster.launch.failure import SETTLED_AFTER, Failure, Incident, explained
from ctrkit.training.cluster.launch.role_process import Exit


def test_the_story_begins_with_the_first_and_lists_who_followed() -> None:
    incident = Incident()
    incident.add(Failure.of(Exit("ps-1", -11, 5.0), ["loading", "Segmentation fault"]))
    incident.add(Failure.of(Exit("chief-0", 1, 6.0), ["UnavailableError: ps-1"]))
    incident.add(Failure.of(Exit("worker-0", -6, 7.0), []))
    assert incident.text("No more restarts.", Path("/logs")) == (
        "ps-1 failed first: it was killed by SIGSEGV. No more restarts.\n"
        "The last lines of its log:\n"
        "  | loading\n"
        "  | Segmentation fault\n"
        "Then chief-0 ended with exit status 1: UnavailableError: ps-1\n"
        "Then worker-0 was killed by SIGABRT.\n"
        "All logs: /logs"
    )


def test_a_role_without_a_word_is_told_so() -> None:
    incident = Incident([Failure("ps-0", "was killed by SIGKILL", 0.0, ())])
    assert "ps-0 failed first: it was killed by SIGKILL.\nIt wrote nothing to its log." in incident.text("", Path("/l"))


def test_what_the_cluster_got_over_is_not_the_cause_of_the_next_failure() -> None:
    incident = Incident([Failure("worker-0", "was killed by SIGKILL", 100.0, ())])
    incident.settle(100.0 + SETTLED_AFTER)
    assert incident.begun_by_another("chief-0")
    incident.settle(100.1 + SETTLED_AFTER)
    assert not incident.begun_by_another("chief-0")


def test_a_roles_second_failure_is_not_another_ones_doing() -> None:
    assert not Incident([Failure("ps-0", "ended", 0.0, ())]).begun_by_another("ps-0")


def test_an_error_of_several_lines_counts_as_explained_and_a_traceback_does_not() -> None:
    assert explained(1, ["loading", "error: no such column.", "  Type: schema=…", "W tensorflow: bye"])
    assert explained(2, ["error: unknown verb 'trian'."])
    assert not explained(1, ["Traceback (most recent call last):", "ValueError: error: no"])
    assert not explained(-15, ["error: no such column."])
