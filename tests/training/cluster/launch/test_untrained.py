"""Roles that end because the chief ended the training untrained: not the first failure, and no reason for a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.launch.local_cluster import LocalCluster
from tests.training.cluster.launch.players import all_started

HEARS = """
if role == "ps-0":
    ears = listen()
up()
if role != "chief-0":
    await_file(f"told-{starts}")
    print(f"{role}: the chief ended the training: failed")
    (here / f"heard-{role}").touch()
    raise SystemExit(75)
for other in OTHERS:
    await_file(f"up-{other}")
"""


def test_the_chief_failed_first_although_the_others_end_before_it(
    play: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    script = """
(here / "told-1").touch()
for other in OTHERS:
    await_file(f"heard-{other}")
time.sleep(0.3)
print("error: the log has no clicks")
raise SystemExit(1)
"""
    with pytest.raises(TrainingError) as caught:
        play(HEARS + script).run()
    text = str(caught.value)
    assert text.startswith("chief-0 failed first: it ended with exit status 1. Its own error is no accident")
    assert "| error: the log has no clicks" in text
    assert "Then" not in text  # What the others say is only what they heard.
    assert len(all_started(tmp_path)) == 4


def test_they_come_back_with_a_chief_that_is_started_again(play: Callable[..., LocalCluster]) -> None:
    script = """
(here / f"told-{starts}").touch()
if starts == 1:
    for other in OTHERS:
        await_file(f"heard-{other}")
    time.sleep(0.3)
    os.abort()
"""
    hears_well = HEARS.replace("raise SystemExit(75)", "raise SystemExit(75 if starts == 1 else 0)")
    outcome = play(hears_well + script).run()
    assert outcome.restarted == {"ps-0": 1, "chief-0": 1, "worker-0": 1, "evaluator-0": 1}
    assert set(outcome.ended.values()) == {"exit status 0"}
