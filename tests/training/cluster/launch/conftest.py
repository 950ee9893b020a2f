"""A local cluster whose roles play the script of the test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctrkit.training.cluster.launch.local_cluster import LocalCluster
from ctrkit.training.cluster.launch.restarts import RestartPolicy
from ctrkit.training.cluster.launch.stopping import Grace
from tests.training.cluster.launch.players import PLAYER

QUICK = RestartPolicy(first_wait=0.05, times=3)
SHORT = Grace(finish=2.0, checkpoint=2.0, terminate=0.5)


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., LocalCluster]:
    """A cluster of two training tasks, a parameter server and an evaluator, all playing the given script."""

    def build(script: str, **changes: Any) -> LocalCluster:
        (tmp_path / "player.py").write_text(PLAYER + script.replace("OTHERS", "['ps-0', 'worker-0', 'evaluator-0']"))
        options: dict[str, Any] = {
            "workers": 2,
            "ps": 1,
            "evaluator": True,
            "restarts": QUICK,
            "grace": SHORT,
        } | changes
        options["env"] = {"PLAYED_IN": str(tmp_path)} | options.get("env", {})
        return LocalCluster([sys.executable, str(tmp_path / "player.py")], log_dir=tmp_path / "logs", **options)

    return build
