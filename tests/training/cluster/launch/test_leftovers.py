"""A launcher that is interrupted, or killed, leaves no process and no taken port behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.training.cluster.launch.players import PLAYER, all_started, living, until

# A launcher in a process of its own, which can be interrupted and killed.
LAUNCHER = """
import sys, time
from pathlib import Path
from ctrkit.training.cluster.launch.local_cluster import LocalCluster
from ctrkit.training.cluster.launch.stopping import Grace
here = Path(sys.argv[1])
try:
    LocalCluster(
        [sys.executable, str(here / "player.py")], workers=2, ps=1, evaluator=True, log_dir=here / "logs",
        env={"PLAYED_IN": str(here)}, grace=Grace(checkpoint=10.0, terminate=0.5),
    ).run()
except KeyboardInterrupt as error:
    print("INTERRUPTED", error)
"""
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if role == "ps-0":
    ears = listen()
if role == "worker-0":  # A grandchild that leaves the session, and drops what marks it.
    grandchild = subprocess.Popen(["sleep", "600"], start_new_session=True, env={"PATH": os.environ["PATH"]})
    (here / "starts-grandchild").write_text(str(grandchild.pid))
    forking = "import os, time\\nif os.fork(): os._exit(0)\\ntime.sleep(600)"  # A daemon: nobody's child any more.
    subprocess.run([sys.executable, "-c", forking], start_new_session=True)
if role == "chief-0":
    def checkpoint(*_):
        time.sleep(0.5)
        (here / "checkpoint").write_text("whole")
        if (here / "slow").exists():
            time.sleep(600)
        raise SystemExit(130)
    signal.signal(signal.SIGINT, checkpoint)
(here / f"ports-{role}").write_text(json.dumps(config["cluster"]))
up()
time.sleep(600)
"""
ROLES = ["ps-0", "chief-0", "worker-0", "evaluator-0"]


@pytest.fixture
def launcher(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start the launcher; returns once all roles are up."""
    (tmp_path / "player.py").write_text(PLAYER + STUBBORN)
    (tmp_path / "launcher.py").write_text(LAUNCHER)

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "launcher.py"), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        until(lambda: all((tmp_path / f"up-{role}").exists() for role in ROLES))
        time.sleep(0.5)  # The launcher has seen the parameter server.
        return process

    return start


def roles_of(folder: Path) -> list[int]:
    """Processes of this test's cluster, wherever they are."""
    environments = {process.pid: process.info["environ"] or {} for process in psutil.process_iter(["environ"])}
    return [pid for pid, environment in environments.items() if environment.get("PLAYED_IN") == str(folder)]


def assert_nothing_is_left(folder: Path, within: float) -> None:
    until(lambda: living(all_started(folder)) == [], within)
    assert roles_of(folder) == []
    for addresses in json.loads((folder / "ports-ps-0").read_text()).values():
        for address in addresses:
            with socket.socket() as free:
                free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Past connections do not count.
                free.bind(("127.0.0.1", int(address.split(":")[1])))


@pytest.mark.parametrize(  # Of several like cases one is enough each time; two seconds each.
    "number", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP))]
)
def test_ctrl_c_lets_the_chief_write_a_checkpoint_and_ends_all(
    launcher: Callable[[], subprocess.Popen[str]], tmp_path: Path, number: int
) -> None:
    process = launcher()
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert f"INTERRUPTED {signal.Signals(number).name}: every role was ended. Run the same command again" in said
    assert (tmp_path / "checkpoint").read_text() == "whole"
    assert_nothing_is_left(tmp_path, within=0.1)


@pytest.mark.slow
def test_a_second_ctrl_c_does_not_wait(launcher: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    process = launcher()
    process.send_signal(signal.SIGINT)
    until((tmp_path / "checkpoint").exists)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    process.communicate(timeout=20)
    assert time.monotonic() - start < 3
    assert_nothing_is_left(tmp_path, within=0.1)


def test_kill_9_of_the_launcher_leaves_nothing_behind(
    launcher: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = launcher()
    process.kill()
    process.communicate()
    assert_nothing_is_left(tmp_path, within=10)


@pytest.mark.slow
def test_kill_9_of_the_launcher_at_any_moment_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "player.py").write_text(PLAYER + STUBBORN)
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    grandchild = tmp_path / "starts-grandchild"
    for moment in np.random.default_rng(0).uniform(0.2, 1.5, size=12):
        process = subprocess.Popen([sys.executable, str(tmp_path / "launcher.py"), str(tmp_path)])
        time.sleep(moment)
        process.kill()
        process.wait()
        until(lambda: roles_of(tmp_path) == [], 10)
        time.sleep(0.3)
        assert roles_of(tmp_path) == []
        assert living([int(pid) for pid in (grandchild.read_text() if grandchild.exists() else "").split()]) == []
