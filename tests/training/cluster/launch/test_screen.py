"""The screen of a cluster: the picture of a moment as text, and what reaches a terminal or a log file."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from ctrkit.training.cluster.launch.row import RoleRow
from ctrkit.training.cluster.launch.screen import LiveScreen, PlainScreen, open_screen, render

STATUS: dict[str, Any] = {
    "mode": "async",
    "step": 1200,
    "steps": 10000,
    "steps_per_second": 40.0,
    "samples_per_second": 139000.4,
    "checkpoint_step": 1000,
    "evaluation": {"step": 1000, "auc": 0.78123},
    "roles": {
        "chief-0": {"state": "training", "steps_per_second": 12.1, "samples_per_second": 49000, "loss": 0.4512},
        "worker-0": {"state": "training", "steps_per_second": 12.3, "samples_per_second": 50000, "dropped": 3},
        "worker-1": {"state": "training", "steps_per_second": 2.3, "samples_per_second": 9000, "dropped": 1200},
        "evaluator-0": {"state": "evaluating"},
        "ps-0": {"state": "serving", "bytes": 3e9, "traffic": 1e6},
        "ps-1": {"state": "serving", "bytes": 1e9, "traffic": 1e6},
    },
}
ROWS = [
    RoleRow(role=role, state="running", pid=7, cpu=88.3, memory=512_000_000, restarts=2 if role == "ps-1" else 0)
    for role in ["ps-0", "ps-1", "chief-0", "worker-0", "worker-1", "evaluator-0"]
]


def drawn(status: Any, rows: Any = ROWS, elapsed: float = 261.0, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(render(status, rows, elapsed))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def cells(text: str, role: str) -> list[str]:
    """The words of a role's row."""
    return next(line.split() for line in text.splitlines() if line.startswith(role + " "))


def test_the_picture_tells_how_far_the_training_is() -> None:
    text = " ".join(drawn(STATUS).split())
    assert "async step 1,200 / 10,000" in text
    assert "12%" in text
    assert "3 min 40 s left" in text  # 8,800 steps at 40 a second.
    assert "139,000 samples/s" in text
    assert "checkpoint at step 1,000 · AUC 0.7812 at step 1,000" in text


def test_the_picture_has_a_row_for_each_role_and_fits_80_columns() -> None:
    text = drawn(STATUS)
    assert "…" not in text
    assert cells(text, "chief-0") == ["chief-0", "training", "12.1", "49,000", "0.4512", "–", "88%", "512", "MB"]
    assert cells(text, "worker-0")[5] == "3"
    assert cells(text, "evaluator-0")[1:4] == ["evaluating", "–", "–"]
    assert cells(text, "ps-0") == ["ps-0", "serving", "3.00", "GB", "75.0%", "50.0%", "88%", "512", "MB"]
    assert cells(text, "ps-1")[-1] == "2"


def test_a_worker_far_behind_the_others_is_marked_slow() -> None:
    assert cells(drawn(STATUS), "worker-1")[1] == "slow"


def test_only_who_the_cluster_calls_slow_is_marked_when_it_calls_someone_slow() -> None:
    roles = STATUS["roles"] | {"worker-0": {"state": "slow", "steps_per_second": 12.0}}
    text = drawn({**STATUS, "roles": roles})
    assert cells(text, "worker-0")[1] == "slow"
    assert cells(text, "worker-1")[1] == "training"


def test_a_dead_role_shows_no_figures_of_its_past() -> None:
    rows = [row if row.role != "worker-0" else RoleRow(role="worker-0", state="restarting", restarts=1) for row in ROWS]
    assert cells(drawn(STATUS, rows), "worker-0") == ["worker-0", "restarting", "–", "–", "–", "3", "–", "–", "1"]


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"roles": None, "evaluation": None, "step": None},
        {"roles": {"chief-0": None, "worker-0": {"loss": "?", "steps_per_second": None}}, "steps": 0, "step": 0},
        {"cluster": {"step": 3}, "roles": {"worker-7": {"state": "lost", "loss": float("nan")}}},
    ],
)
def test_a_status_with_gaps_is_drawn(status: Any) -> None:
    text = drawn(status)
    assert cells(text, "chief-0")[1] == "running"
    assert cells(text, "ps-0")[1] == "running"


def test_a_role_that_the_launcher_does_not_know_is_shown_too() -> None:
    assert cells(drawn({"roles": {"worker-7": {"state": "lost"}}}), "worker-7")[1] == "lost"


def test_a_status_of_the_dispatch_has_its_figures_one_level_down() -> None:
    assert "step 3 / 9" in drawn({"cluster": {"step": 3, "steps": 9}})


def test_a_log_file_gets_a_line_each_ten_seconds() -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream)
    for second in range(25):
        screen.show({**STATUS, "steps_per_second": None, "step": 100 * second}, ROWS, float(second))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("cluster:   0% step 0 / 10,000, 139,000 samples/s, loss 0.4512, 0 s so far")
    assert lines[2].endswith("AUC 0.7812 at step 1,000, 1,203 gradients dropped; 5 of 6 roles run, worker-1 slow")


def test_time_left_is_told_from_the_steps_seen_when_the_cluster_does_not_tell_its_pace() -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream)
    status = {key: value for key, value in STATUS.items() if key != "steps_per_second"}
    for second in range(11):
        screen.show({**status, "step": 100 * second}, ROWS, float(second))
    assert "1 min 30 s left" in stream.getvalue().splitlines()[-1]  # 9,000 steps at 100 a second.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_live_picture_with_events_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTRKIT_QUIET", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with open_screen(stream) as screen:
        assert isinstance(screen, LiveScreen)
        screen.show(STATUS, ROWS, 1.0)
        screen.tell("worker-0 was [killed] by SIGKILL")
        screen.show(STATUS, ROWS, 2.0)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "worker-0 was [killed] by SIGKILL" in text
    assert text.rstrip().endswith("2")  # The last picture stays: its last row is ps-1's, with two restarts.


def test_quiet_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTRKIT_QUIET", "1")
    stream = Terminal()
    with open_screen(stream) as screen:
        assert screen is None
    assert stream.getvalue() == ""


def test_a_log_file_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTRKIT_QUIET", raising=False)
    with open_screen(io.StringIO()) as screen:
        assert isinstance(screen, PlainScreen)
