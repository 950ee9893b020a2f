"""Run the embedded server in a process of its own for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ctrkit.errors import ServingError
from ctrkit.serving.options import ServingOptions

LAST_LINES = 20  # Of the child's log, shown when it fails.
KILL_AFTER = 5.0  # Seconds beyond the server's own grace.


@dataclass(frozen=True)
class ServerProcess:
    """A running server: `target` is "host:port", that of gRPC."""

    target: str
    rest_target: str | None  # That of HTTP.
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def log_tail(self, lines: int = LAST_LINES) -> str:
        """The last lines that the server wrote."""
        return _tail(self.log, lines)


@contextlib.contextmanager
def serve_in_process(
    model_base_path: str | os.PathLike[str] | None = None,
    options: ServingOptions | None = None,
    *,
    timeout: float = 120.0,
    **overrides: Any,
) -> Iterator[ServerProcess]:
    """Start `python -m ctrkit.serving.server`, wait until its model is available, stop it when the block ends.

    Takes `ServingOptions`, or its fields as keywords. The child also ends when this process dies. Raises `ServingError`
    with the child's last log lines when it does not become available within `timeout` seconds.
    """
    options = dataclasses.replace(ServingOptions() if options is None else options, **overrides)
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as log, os.fdopen(reading, "rb") as ready:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "ctrkit.serving.server", *_arguments(model_base_path, options, writing)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        try:
            targets = _wait(ready, process, timeout)
            if targets is None:
                raise ServingError(_why(process, timeout, log, model_base_path or options.model_config_file))
            yield ServerProcess(targets[0], targets[1] if len(targets) > 1 else None, process, log)
        finally:
            _stop(process, options.grace + KILL_AFTER)


def _arguments(path: str | os.PathLike[str] | None, options: ServingOptions, ready_fd: int) -> list[str]:
    arguments = ["--options-json", options.to_json(), "--until-stdin-closes", "--ready-fd", str(ready_fd)]
    return arguments if path is None else [*arguments, os.fspath(path)]


def _wait(ready: IO[bytes], process: subprocess.Popen[bytes], timeout: float) -> list[str] | None:
    """The targets, or None when the child ended or time is up. The pipe closes when the child dies."""
    until = time.monotonic() + timeout
    if not select.select([ready], [], [], max(0.0, until - time.monotonic()))[0]:
        return None
    line = ready.readline().decode().strip()
    if not line:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_AFTER)
    return line.split() or None


def _why(process: subprocess.Popen[bytes], timeout: float, log: IO[bytes], path: str | os.PathLike[str] | None) -> str:
    status = process.poll()
    what = f"did not become available within {timeout:g} s" if status is None else f"ended with status {status}"
    return f"The server for {path} {what}. Its last lines:\n{_tail(log, LAST_LINES)}"


def _tail(log: IO[bytes], lines: int) -> str:
    # A read at an offset leaves the place where the child, which shares the file's position, writes next.
    size = os.fstat(log.fileno()).st_size
    text = os.pread(log.fileno(), 16384, max(0, size - 16384)).decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes], patience: float) -> None:
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
