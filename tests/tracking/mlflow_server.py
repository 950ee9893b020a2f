"""A real `mlflow server` on loopback that ends with the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

STARTS_WITHIN = 120.0  # Seconds; 12 on a quiet machine.


class Server:
    """`mlflow server` in a process group of its own, so that all of it can be ended."""

    def __init__(self, root: Path, port: int, command: list[str] | None = None, *, store: str | None = None) -> None:
        """`store` is where it keeps runs (by default an SQLite file below `root`), `command` another way to start."""
        self.root, self.port, self.uri = root, port, f"http://127.0.0.1:{port}"
        self.command = command or [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *(
                "--backend-store-uri",
                store or f"sqlite:///{root}/server.db",
                "--artifacts-destination",
                str(root / "artifacts"),
            ),
        ]

    def start(self) -> None:
        environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with open(self.root / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=environment, cwd=self.root, start_new_session=True
            )
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            try:
                get(f"{self.uri}/health")
                return
            except OSError:
                assert self._process.poll() is None, (self.root / "server.log").read_text()
                time.sleep(0.2)
        raise AssertionError((self.root / "server.log").read_text())

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it and make sure that no process of it is left."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, how)
            self._process.wait(30)
        left = [one for one in psutil.process_iter() if _group(one.pid) == self._process.pid]
        _, alive = psutil.wait_procs(left, timeout=15)
        for one in alive:
            one.kill()
        assert not alive, f"orphans of the server: {alive}"


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        return bytes(response.read())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
