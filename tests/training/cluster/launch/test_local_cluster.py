"""A local cluster of real processes: it ends well, survives deaths, names the first failure, leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ctrkit.errors import ConfigError, TrainingError
from ctrkit.training.cluster.launch.local_cluster import LocalCluster, Outcome
from ctrkit.training.cluster.launch.restarts import RestartPolicy
from ctrkit.training.cluster.launch.screen import PlainScreen
from ctrkit.training.cluster.launch.stopping import Grace

# What every role of these tests begins with; the test adds what it does. It knows nothing of TensorFlow.
PLAYER = """
import json, os, pathlib, signal, socket, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
role = f"{config['task']['type']}-{config['task']['index']}"
here = pathlib.Path(os.environ["PLAYED_IN"])
with (here / f"starts-{role}").open("a") as file:
    file.write(f"{os.getpid()}\\n")
starts = len((here / f"starts-{role}").read_text().split())
def listen():
    port = int(config["cluster"]["ps"][config["task"]["index"]].split(":")[1])
    ears = socket.socket()
    ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ears.bind(("", port))
    ears.listen()
    return ears
def up():
    (here / f"up-{role}").touch()
def await_file(name):
    while not (here / name).exists():
        time.sleep(0.02)
"""
WELL = """
if role == "ps-0":
    ears = listen()
up()
if role == "chief-0":
    for other in OTHERS:
        await_file(f"up-{other}")
    (here / "over").touch()
await_file("over")
"""
QUICK = RestartPolicy(first_wait=0.05, times=3)
SLOW = pytest.mark.slow  # Of several like cases one is enough each time; two seconds each.
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


def status_from(folder: Path) -> Callable[[], dict[str, Any] | None]:
    """Like the chief's: nothing before the chief is up, then who else is."""

    def status() -> dict[str, Any] | None:
        up = {path.name[3:]: {"state": "training"} for path in folder.glob("up-*")}
        return {"roles": up} if "chief-0" in up else None

    return status


def all_started(folder: Path) -> list[int]:
    """The numbers of all processes that ever played."""
    return [int(pid) for path in folder.glob("starts-*") for pid in path.read_text().split()]


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)


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


@pytest.mark.parametrize(
    "role", ["ps-0", "worker-0", *(pytest.param(n, marks=SLOW) for n in ("chief-0", "evaluator-0"))]
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


def test_impossible_clusters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster\.ps=0: expected at least 1"):
        LocalCluster(["true"], workers=1, ps=0, evaluator=False, log_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"env_of names \['worker-9'\], but the cluster has \['ps-0', 'chief-0'\]"):
        LocalCluster(["true"], workers=1, ps=1, evaluator=False, log_dir=tmp_path, env_of={"worker-9": {}})


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


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(n, marks=SLOW) for n in (signal.SIGTERM, signal.SIGHUP))]
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
