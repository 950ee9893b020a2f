"""Log what goes wrong at most so often: no line for a good request, and no flood for many bad ones."""

from __future__ import annotations

import logging
import threading
import time

EVERY = 10.0  # Seconds between two lines about the same kind of problem.
LONGEST_TEXT = 300  # Characters.


class Problems:
    """Lines about failed requests; what was left out is counted in the next line of its kind."""

    def __init__(self, log: logging.Logger, every: float = EVERY) -> None:
        self._log, self._every = log, every
        self._last: dict[str, tuple[float, int]] = {}  # Kind -> when it was last written, and how many came since.
        self._lock = threading.Lock()

    def note(self, kind: str, text: str, *, level: int = logging.WARNING, error: BaseException | None = None) -> None:
        """Write a line, unless one of this kind was written just now."""
        now = time.monotonic()
        with self._lock:
            last, left_out = self._last.get(kind, (-self._every, 0))
            if now - last < self._every:
                self._last[kind] = last, left_out + 1
                return
            self._last[kind] = now, 0
        more = f" ({left_out:,} more like it since)" if left_out else ""
        self._log.log(level, "%s: %s%s", kind, text[:LONGEST_TEXT], more, exc_info=error)
