"""Processes behind one port: all answer, a killed one comes back, strangers do not get in, nobody stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from ctrkit.errors import ConfigError, CtrkitError, ServingError
from ctrkit.serving import Connection
from ctrkit.serving.fleet import Fleet
from ctrkit.serving.models import ModelConfig, ModelsConfig, Specific
from ctrkit.serving.options import RestOptions
from ctrkit.serving.protos import model_server_config_pb2


@pytest.fixture(scope="module")
def base(strings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fleet") / "words"
    shutil.copytree(strings, path / "7")
    return path


@pytest.fixture(scope="module")
def fleet(base: Path):  # type: ignore[no-untyped-def]
    with Fleet(base, name="words", processes=2, require_index=False, rest=RestOptions(), workers=1) as running:
        yield running


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def ask(target: str, model: str = "words") -> bytes:
    with Connection(target, model) as connection:
        rows = np.full((1, 2), 3, np.int32)
        return connection.predict("lookup", {"rows": rows}, deadline=20).outputs["found"].tobytes()


def threads_that_worked(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def counted(fleet: Fleet) -> float:
    page = urllib.request.urlopen(f"http://{fleet.rest_target}/monitoring/prometheus/metrics", timeout=10).read()
    lines = [line for line in page.decode().splitlines() if line.startswith("ctrkit_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'status="OK"' in line)


def test_connections_spread_over_the_processes_and_their_numbers_are_added(fleet: Fleet) -> None:
    assert len(fleet.pids) == 2
    before = counted(fleet)
    spent = {pid: threads_that_worked(pid) for pid in fleet.pids}
    for _ in range(40):
        assert ask(fleet.target) == np.full((1, 2), 3, np.int32).tobytes()
    assert all(threads_that_worked(pid) > cpu for pid, cpu in spent.items())
    assert {counted(fleet) - before for _ in range(4)} == {40.0}  # Whichever process is asked.


def test_a_killed_process_comes_back_and_the_others_answer_meanwhile(fleet: Fleet) -> None:
    gone, other = fleet.pids
    os.kill(gone, signal.SIGKILL)
    until(lambda: gone not in fleet.pids)
    ask(fleet.target)
    until(lambda: len(fleet.pids) == 2 and all(child.ready for child in fleet._children))
    assert other in fleet.pids
    for _ in range(10):
        ask(fleet.target)


def test_what_one_is_told_to_serve_all_serve_and_those_that_come_later(fleet: Fleet, base: Path) -> None:
    import grpc

    request = model_server_config_pb2.ReloadConfigRequest()
    for name in ("words", "again"):
        request.config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
    with grpc.insecure_channel(fleet.target) as channel:
        call = channel.unary_unary("/tensorflow.serving.ModelService/HandleReloadConfigRequest")
        call(request.SerializeToString(), timeout=30)

    def everywhere() -> bool:
        try:
            return all(ask(fleet.target, "again") for _ in range(20))
        except ServingError:
            return False

    until(everywhere)
    gone = fleet.pids[0]
    os.kill(gone, signal.SIGKILL)
    until(lambda: gone not in fleet.pids)
    until(lambda: len(fleet.pids) == 2 and all(child.ready for child in fleet._children))
    assert everywhere()


def test_all_move_to_a_version_and_those_that_come_later_begin_with_it(fleet: Fleet, base: Path) -> None:
    (base / "7").rename(base / ".8")
    shutil.copytree(base / ".8", base / "7")
    (base / ".8").rename(base / "8")
    fleet.reload(ModelsConfig((ModelConfig("words", base, Specific((8,)), {"champion": 8}),)))

    def versions() -> set[int]:
        with contextlib.suppress(CtrkitError):
            return {version_of(fleet.target) for _ in range(20)}
        return set()

    until(lambda: versions() == {8})
    shutil.rmtree(base / "7")
    gone = fleet.pids[0]
    os.kill(gone, signal.SIGKILL)
    until(lambda: gone not in fleet.pids)
    until(lambda: len(fleet.pids) == 2 and all(child.ready for child in fleet._children))
    assert versions() == {8}
    with pytest.raises(ConfigError, match="Got 2 models, expected one"):
        fleet.reload(ModelsConfig((ModelConfig("words", base), ModelConfig("again", base))))


def version_of(target: str) -> int:
    """The version that answers to the label `champion`."""
    with Connection(target, "words", label="champion") as connection:
        return connection.predict("lookup", {"rows": np.full((1, 2), 3, np.int32)}, deadline=20).version


def test_a_second_fleet_or_server_at_the_port_is_refused(fleet: Fleet, base: Path) -> None:
    port = int(fleet.target.rpartition(":")[2])
    second = Fleet(base, name="words", processes=2, require_index=False, port=port)
    with pytest.raises(ServingError, match=rf"Cannot listen at 127.0.0.1:{port} \(Address already in use\).*--port"):
        second.start()
    assert second.pids == ()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))


def test_a_model_that_does_not_load_stops_all(tmp_path: Path) -> None:
    broken = Fleet(tmp_path, processes=2)
    with pytest.raises(ServingError, match=r"Process \d of 2 ended with status 1.*Its log says why"):
        broken.start()
    assert broken.pids == ()
    with pytest.raises(ServingError, match="no address before"):
        broken.target  # noqa: B018


def test_processes_cannot_share_a_unix_socket(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"several processes share a TCP port only"):
        Fleet(base, processes=2, host="unix:/tmp/x", require_index=False).start()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_parent(base: Path, number: int) -> None:
    reading, writing = os.pipe()
    options = json.dumps({"name": "words", "processes": 2, "require_index": False})
    command = ["-m", "ctrkit.serving.server", str(base), "--options-json", options, "--ready-fd", str(writing)]
    parent = subprocess.Popen([sys.executable, *command], pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as ready:
        target = ready.readline().split()[0]
    ask(target)
    children = psutil.Process(parent.pid).children()
    assert len(children) == 2
    parent.send_signal(number)
    assert parent.wait(20) == (0 if number == signal.SIGTERM else -number)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
