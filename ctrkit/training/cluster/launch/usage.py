"""CPU and memory of a process, cheaply."""

from __future__ import annotations

import psutil


class Usage:
    """Share of one core since the last look, in percent, and resident bytes."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None

    def look(self, pid: int | None) -> tuple[float | None, int | None]:
        """CPU percent (None on the first look at a process) and bytes; both None when it is gone."""
        if pid is None:
            self._process = None
            return None, None
        try:
            first = self._process is None or self._process.pid != pid
            if first:
                self._process = psutil.Process(pid)
            assert self._process is not None
            cpu = self._process.cpu_percent(None)
            return None if first else cpu, self._process.memory_info().rss
        except psutil.Error:
            self._process = None
            return None, None
