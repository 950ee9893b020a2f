"""A local cluster that fails names the role that failed first, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.launch.local_cluster import LocalCluster
from ctrkit.training.cluster.launch.restarts import RestartPolicy
from tests.training.cluster.launch.players import all_started, living, status_from


def test_the_first_failing_role_is_named_although_its_failure_makes_others_fail(
    play: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    script = """
if role == "ps-0":
    ears = listen()
    for other in ("chief-0", "worker-0"):
        await_file(f"up-{other}")
    print("\\n".join(f"line {i}" for i in range(40)))
    (here / "broken").touch()
    os.abort()
up()
await_file("broken")
time.sleep(0.05)
print("error: ps-0 is gone")
raise SystemExit(1)
"""
    with pytest.raises(TrainingError) as caught:
        play(script, restarts=RestartPolicy(times=0)).run()
    text = str(caught.value)
    assert text.startswith("ps-0 failed first: it was killed by SIGABRT.")
    assert "| line 39" in text
    assert "| line 25" in text
    assert "| line 24" not in text
    assert f"All logs: {tmp_path / 'logs'}" in text
    assert living(all_started(tmp_path)) == []


@pytest.mark.slow
def test_a_consequence_is_started_again_but_not_for_ever(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    script = """
if role == "ps-0":
    os.abort()
print("error: ps-0 is gone")
raise SystemExit(1)
"""
    # The chief alone tells its error as if it were its own, but after the parameter server's death.
    with pytest.raises(TrainingError, match=r"(?s)^ps-0 failed first: it was killed by SIGABRT. .* 3 restarts within"):
        play("if role != 'ps-0': time.sleep(0.5)\n" + script).run()


def test_an_error_that_ctrkit_explains_is_not_tried_again(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    script = """
if role == "ps-0":
    ears = listen()
if role == "worker-0":
    print("error: the log has no column 'clicked'.\\nType schema=…")
    raise SystemExit(1)
time.sleep(600)
"""
    with pytest.raises(TrainingError) as caught:
        play(script).run()
    text = str(caught.value)
    assert text.startswith("worker-0 failed first: it ended with exit status 1. Its own error is no accident")
    assert "| error: the log has no column 'clicked'." in text
    assert len(all_started(tmp_path)) == 4
    assert living(all_started(tmp_path)) == []


@pytest.mark.parametrize(  # Of several like cases one is enough each time; two seconds each.
    "role", ["ps-0", "worker-0", *(pytest.param(n, marks=pytest.mark.slow) for n in ("chief-0", "evaluator-0"))]
)
def test_a_role_that_never_comes_up_is_named(play: Callable[..., LocalCluster], tmp_path: Path, role: str) -> None:
    script = f"""
if role == "ps-0" and role != {role!r}:
    ears = listen()
if role != {role!r}:
    up()
print("I am here")
time.sleep(600)
"""
    with pytest.raises(
        TrainingError, match=rf"^{role} failed first: it did not come up within 1.5 s: process \d+ runs"
    ):
        play(script, status=status_from(tmp_path), up_within=1.5).run()
    assert living(all_started(tmp_path)) == []


def test_a_status_that_never_answers_does_not_hold_up_the_supervision(
    play: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    never = threading.Event()
    with pytest.raises(
        TrainingError, match=r"chief-0 failed first: .* runs, but the cluster gives no account of itself"
    ):
        play("ears = listen() if role == 'ps-0' else None\ntime.sleep(600)", status=never.wait, up_within=0.5).run()
    never.set()


def test_a_restarted_role_has_to_come_up_again(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    script = """
if role == "ps-0":
    ears = listen()
if role == "worker-0" and starts == 2:
    time.sleep(600)
up()
if role == "worker-0":
    await_file("seen")
    os.abort()
time.sleep(600)
"""

    def status() -> dict[str, Any]:
        silent = {path.name[3:]: time.time() - path.stat().st_mtime for path in tmp_path.glob("up-*")}
        if "worker-0" in silent:
            (tmp_path / "seen").touch()
        for role in silent.keys() - {"worker-0"}:
            silent[role] = 0.0
        return {"roles": {role: {"state": "training", "silent_seconds": since} for role, since in silent.items()}}

    with pytest.raises(TrainingError, match=r"(?s)^worker-0 failed first: it was killed by SIGABRT.*did not come up"):
        play(script, status=status, up_within=2.0).run()


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    cluster = LocalCluster([str(tmp_path / "no")], workers=1, ps=1, evaluator=False, log_dir=tmp_path)
    with pytest.raises(TrainingError, match=r"ps-0 could not be started: .*No such file"):
        cluster.run()
