"""One process per core behind one port: started together, restarted alone, stopped together."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ctrkit.atomic import atomic_file
from ctrkit.errors import ConfigError, ServingError
from ctrkit.serving.fleet.member import RELOADED
from ctrkit.serving.fleet.ports import held_port
from ctrkit.serving.models import ModelsConfig
from ctrkit.serving.options import ServingOptions
from ctrkit.serving.protos import model_server_config_pb2

METRICS = "metrics"  # Where the processes' numbers lie, to be added up by the one that is asked.
SHORT_LIFE = 10.0  # Seconds; a process that died younger than this is started again later and later.
LONGEST_PAUSE = 5.0  # Seconds between two starts of one that always dies.
KILL_AFTER = 5.0  # Seconds beyond the servers' own grace.
LOG = logging.getLogger(__name__)


class _Child:
    """One server process."""

    def __init__(self, number: int, command: list[str], environment: dict[str, str]) -> None:
        self.number, self.since, self.ready = number, time.monotonic(), False
        reading, writing = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(writing)], stdin=subprocess.PIPE, pass_fds=[writing], env=environment
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.says: IO[bytes] = os.fdopen(reading, "rb")

    def stop(self, until: float) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        self.says.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Fleet:
    """`options.processes` servers that share their ports: the kernel spreads connections over them.

    A client with one connection speaks to one process. Each loads and polls its own models; one that is sent a
    HandleReloadConfigRequest tells the others. A process that dies is started again while the others answer.
    """

    def __init__(
        self,
        model_base_path: str | os.PathLike[str] | None = None,
        options: ServingOptions | None = None,
        *,
        timeout: float = 300.0,
        **overrides: Any,
    ) -> None:
        """Takes what `Server` takes; `timeout` is how many seconds all processes may take to be ready."""
        self.options = dataclasses.replace(ServingOptions() if options is None else options, **overrides)
        self._path, self._timeout = model_base_path, timeout
        self._held: list[socket.socket] = []
        self._children: list[_Child] = []
        self._directory: Path | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._pauses: dict[int, float] = {}

    @property
    def target(self) -> str:
        """Where clients of gRPC reach all of them: "host:port"."""
        if not self._held:
            raise ServingError("The servers have no address before they are started. Call `start()`.")
        return self._reached(0)

    @property
    def rest_target(self) -> str | None:
        """Where clients of HTTP reach them; None without `rest`."""
        return self._reached(1) if len(self._held) > 1 else None

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run now."""
        return tuple(child.process.pid for child in list(self._children) if child.process.poll() is None)

    def start(self) -> Fleet:
        """Start all processes; returns when every one of them answers.

        Raises `ServingError` when the port is taken or a process does not get ready; nothing is left running then.
        """
        options = self.options
        try:
            self._held.append(held_port(options.host, options.port))
            if options.rest is not None:
                self._held.append(held_port(options.host, options.rest.port))
            self._directory = Path(tempfile.mkdtemp(prefix="ctrkit-fleet-"))
            (self._directory / METRICS).mkdir()
            self._children += [self._child(number) for number in range(options.processes)]
            until = time.monotonic() + self._timeout
            for child in self._children:
                self._wait(child, until)
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="ctrkit-fleet", daemon=True)
        self._watcher.start()
        return self

    def stop(self) -> None:
        """Let all of them finish what is under way (at most `grace` seconds) and end; may be called twice."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        for child in self._children:
            if child.process.poll() is None:
                child.process.terminate()
        until = time.monotonic() + self.options.grace + KILL_AFTER
        for child in self._children:
            child.stop(until)
        self._children.clear()
        for held in self._held:
            held.close()
        self._held.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def reload(self, config: ModelsConfig) -> None:
        """Serve this one model from now on: each process loads it and then switches, or says in its log why not.

        Raises `ConfigError` for several models, `ServingError` when the processes do not run.
        """
        if self._directory is None:
            raise ServingError("The servers were not started, or were stopped. Call `start()`.")
        if len(config.models) != 1:
            raise ConfigError(f"Got {len(config.models)} models, expected one; name several in `model_config_file`.")
        (model,) = config.models
        # Those that are started again begin with it.
        self.options = dataclasses.replace(self.options, version_policy=model.policy_text, labels=model.labels)
        request = model_server_config_pb2.ReloadConfigRequest(config=config.message())
        with atomic_file(self._directory / RELOADED) as temporary:
            temporary.write_bytes(request.SerializeToString())

    def __enter__(self) -> Fleet:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _reached(self, which: int) -> str:
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.options.host, self.options.host)
        return f"{host}:{self._held[which].getsockname()[1]}"

    def _child(self, number: int) -> _Child:
        assert self._directory is not None
        ports = [held.getsockname()[1] for held in self._held]
        rest = None if self.options.rest is None else dataclasses.replace(self.options.rest, port=ports[1])
        options = dataclasses.replace(self.options, processes=1, port=ports[0], rest=rest, fleet=self._directory)
        command = [sys.executable, "-m", "ctrkit.serving.server", "--options-json", options.to_json()]
        command += ["--until-stdin-closes"]  # So that they end with the parent, however it ends.
        command += [] if self._path is None else [os.fspath(self._path)]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._directory / METRICS)}
        return _Child(number, command, environment)

    def _wait(self, child: _Child, until: float) -> None:
        """Until the process answers."""
        ready = select.select([child.says], [], [], max(0.0, until - time.monotonic()))[0]
        if not ready or not child.says.readline():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(KILL_AFTER if ready else 0)
            status = child.process.poll()
            what = f"was not ready within {self._timeout:g} s" if status is None else f"ended with status {status}"
            raise ServingError(
                f"Process {child.number + 1} of {self.options.processes} {what}. Its log says why; try it with "
                "`processes: 1`."
            )
        child.ready = True

    def _watch(self) -> None:
        while not self._stopping.wait(0.05):
            for place, child in enumerate(self._children):
                if child.process.poll() is not None:
                    self._replace(place, child)
                elif not child.ready and select.select([child.says], [], [], 0)[0] and child.says.readline():
                    child.ready = True
                    LOG.info("process %d answers again (pid %d)", child.number + 1, child.process.pid)

    def _replace(self, place: int, child: _Child) -> None:
        lived, pause = time.monotonic() - child.since, self._pauses.get(place, 0.0)
        if lived < pause:
            return  # It died young before: its place stays empty for a while.
        LOG.error("process %d ended with status %s; starting another", child.number + 1, child.process.returncode)
        self._pauses[place] = min(LONGEST_PAUSE, max(0.5, 2 * pause)) if lived < SHORT_LIFE + pause else 0.0
        self._forget(child.process.pid)
        child.close()
        self._children[place] = self._child(child.number)

    def _forget(self, pid: int) -> None:
        """A dead process has no state any more; what it counted stays counted."""
        with contextlib.suppress(ImportError):
            from prometheus_client import multiprocess

            assert self._directory is not None
            multiprocess.mark_process_dead(pid, str(self._directory / METRICS))


@contextlib.contextmanager
def serve_fleet(
    model_base_path: str | os.PathLike[str] | None = None, options: ServingOptions | None = None, **overrides: Any
) -> Iterator[Fleet]:
    """A started `Fleet` for as long as the block lasts."""
    with Fleet(model_base_path, options, **overrides) as fleet:
        yield fleet
