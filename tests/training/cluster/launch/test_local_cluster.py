"""A local cluster of real processes ends well, also when roles die on the way: they are started again."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import ConfigError
from ctrkit.training.cluster.launch.local_cluster import LocalCluster, Outcome
from ctrkit.training.cluster.launch.screen import PlainScreen
from ctrkit.training.cluster.launch.stopping import Grace
from tests.training.cluster.launch.players import WELL, all_started, living, status_from, until


def test_a_cluster_whose_roles_end_well_ends_well(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    cluster = play(WELL, status=status_from(tmp_path))
    outcome = cluster.run()
    assert outcome.ended == dict.fromkeys(["ps-0", "chief-0", "worker-0", "evaluator-0"], "exit status 0")
    assert set(outcome.restarted.values()) == {0}
    assert len(all_started(tmp_path)) == 4
    assert cluster.pids() == {}


def test_each_role_is_told_which_it_is_and_the_evaluator_is_outside(
    play: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    script = """
(here / f"told-{role}").write_text(json.dumps([config, os.environ["OMP_NUM_THREADS"], os.environ.get("SLOW")]))
"""
    play(script + WELL, workers=3, threads=1, env_of={"worker-1": {"SLOW": "0.5"}}).run()
    told = {path.name[5:]: json.loads(path.read_text()) for path in tmp_path.glob("told-*")}
    clusters = {json.dumps(config["cluster"]) for config, _, _ in told.values()}
    assert len(clusters) == 1
    cluster = json.loads(clusters.pop())
    assert {job: len(addresses) for job, addresses in cluster.items()} == {"chief": 1, "worker": 2, "ps": 1}
    addresses = [address for of in cluster.values() for address in of]
    assert len(set(addresses)) == 4
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    assert told["evaluator-0"][0]["task"] == {"type": "evaluator", "index": 0}
    assert {role: slow for role, (_, _, slow) in told.items() if slow} == {"worker-1": "0.5"}
    assert {threads for _, threads, _ in told.values()} == {"1"}


def test_a_killed_role_is_started_again_and_its_log_tells_so(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    script = """
print("hello from start", starts)
if role == "worker-0" and starts == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if role == "ps-0" and starts == 1:
    ears = listen()
    await_file("up-worker-0")
    raise SystemExit("ValueError: any crash")
"""
    outcome = play(script + WELL, status=status_from(tmp_path)).run()
    assert outcome.restarted == {"ps-0": 1, "chief-0": 0, "worker-0": 1, "evaluator-0": 0}
    log = (tmp_path / "logs" / "worker-0.log").read_text()
    assert log.count("=== worker-0 started") == 2
    assert "restart 1: it was killed by SIGKILL" in log
    assert log.index("hello from start 1") < log.index("restart 1") < log.index("hello from start 2")


def test_parameter_servers_that_took_the_training_for_over_come_back_with_the_chief(
    play: Callable[..., LocalCluster],
) -> None:
    script = """
if role == "chief-0" and starts == 1:
    await_file("gone")
    time.sleep(0.3)
    os.abort()
if role == "ps-0" and starts == 1:
    (here / "gone").touch()
    raise SystemExit(0)
"""
    outcome = play(script + WELL).run()
    assert outcome.restarted["chief-0"] == 1
    assert outcome.restarted["ps-0"] == 1
    assert outcome.ended["ps-0"] == "exit status 0"


def test_roles_that_stay_after_the_chief_are_ended(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    script = """
if role == "ps-0":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if role in ("ps-0", "worker-0"):
    ears = listen() if role == "ps-0" else None
    up()
    time.sleep(600)
"""
    start = time.monotonic()
    outcome = play(script + WELL, grace=Grace(finish=0.5, terminate=0.5)).run()
    assert outcome.ended == {
        "chief-0": "exit status 0",
        "evaluator-0": "exit status 0",
        "worker-0": "killed by SIGTERM",
        "ps-0": "killed by SIGKILL",
    }
    assert time.monotonic() - start < 15
    assert living(all_started(tmp_path)) == []


def test_an_evaluator_that_falls_after_the_chief_ended_still_gives_its_last_word(
    play: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    script = """
if role == "evaluator-0" and starts == 1:
    up()
    await_file("over")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    outcome = play(script + WELL).run()
    assert outcome.restarted["evaluator-0"] == 1
    assert outcome.ended["evaluator-0"] == "exit status 0"


def test_a_worker_that_complains_while_the_chief_ends_well_does_no_harm(play: Callable[..., LocalCluster]) -> None:
    script = """
if role == "worker-0":
    up()
    await_file("over")
    print("error: the chief hung up")
    raise SystemExit(1)
"""
    late_chief = WELL + "\nif role == 'chief-0': time.sleep(0.7)\n"
    assert play(script + late_chief).run().ended["worker-0"] == "exit status 1"


def test_impossible_clusters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.ps=0: expected at least 1"):
        LocalCluster(["true"], workers=1, ps=0, evaluator=False, log_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"env_of names \['worker-9'\], but the cluster has \['ps-0', 'chief-0'\]"):
        LocalCluster(["true"], workers=1, ps=1, evaluator=False, log_dir=tmp_path, env_of={"worker-9": {}})


def test_a_broken_screen_does_not_end_the_training(play: Callable[..., LocalCluster]) -> None:
    class Broken:
        def show(self, *_: Any) -> None:
            raise BrokenPipeError

        def tell(self, text: str) -> None:
            raise SystemExit(1)

    assert play(WELL, screen=Broken()).run().ended["chief-0"] == "exit status 0"


def test_the_screen_is_told_what_happens(play: Callable[..., LocalCluster], tmp_path: Path) -> None:
    stream = io.StringIO()
    script = """
if role == "worker-0" and starts == 1:
    os.abort()
if role == "chief-0":
    await_file("up-worker-0")
    time.sleep(1.5)
"""
    play(script + WELL, screen=PlainScreen(stream), status=status_from(tmp_path)).run()
    told = stream.getvalue().splitlines()
    assert "worker-0 was killed by SIGABRT; it is started again in 0.05 s" in told
    assert "chief-0 is done" in told
    assert any(line.startswith("cluster: step –") for line in told)


def test_processes_can_be_found_and_killed_from_another_thread(
    play: Callable[..., LocalCluster], tmp_path: Path
) -> None:
    cluster = play(WELL.replace('(here / "over").touch()', "await_file('end'); (here / 'over').touch()"))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(cluster.run()))
    thread.start()
    until(lambda: len(cluster.pids()) == 4 and (tmp_path / "up-worker-0").exists())
    os.kill(cluster.pids()["worker-0"], signal.SIGKILL)
    until(lambda: cluster.restarted["worker-0"] == 1 and "worker-0" in cluster.pids())
    (tmp_path / "end").touch()
    thread.join(20)
    assert outcomes[0].restarted["worker-0"] == 1
    assert living(all_started(tmp_path)) == []
