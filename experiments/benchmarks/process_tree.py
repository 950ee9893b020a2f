"""Run a command and tell what it and all processes that it starts take: CPU and the peak of their memory together."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

EVERY = 0.1  # Seconds between two looks.


def measured(command: Sequence[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The JSON of the last line that `command` prints, with `peak_mb` (the sum of resident sets) and `cpu_seconds`.

    Pages that several processes share count for each. CPU is that of the processes when last seen.
    Raises `subprocess.CalledProcessError` with what it printed.
    """
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=env
    ) as child:
        peak, cpu, done = 0.0, {}, threading.Event()

        def watch() -> None:
            nonlocal peak
            root = psutil.Process(child.pid)
            while not done.wait(EVERY):
                here = 0
                with contextlib.suppress(psutil.Error):
                    for process in (root, *root.children(recursive=True)):
                        with contextlib.suppress(psutil.Error):
                            here += process.memory_info().rss
                            times = process.cpu_times()
                            cpu[process.pid, process.create_time()] = times.user + times.system
                peak = max(peak, here)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        out, err = child.communicate()
        done.set()
        watcher.join()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command, out, err)
    told: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return {**told, "peak_mb": peak / 2**20, "cpu_seconds": sum(cpu.values())}
