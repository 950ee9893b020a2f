"""Ask the cluster for its status beside the supervision: an answer that never comes must not hold up the rest."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Status = dict[str, Any]
ASK_EVERY = 1.0  # Seconds.


class StatusPoll:
    """`last` is the monotonic time of the last question and its answer, None where the cluster could not be asked.

    `last_known` is the last answer that was one.
    """

    def __init__(self, status: Callable[[], Status | None]) -> None:
        self.last: tuple[float, Status | None] = (time.monotonic(), None)
        self.last_known: Status | None = None
        self._status = status
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask for as long as the block lasts."""
        thread = threading.Thread(target=self._ask, name="cluster status", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(2 * ASK_EVERY)  # A question without an answer is left to itself.

    def _ask(self) -> None:
        while True:
            asked_at = time.monotonic()
            try:
                answer = self._status()
            except Exception:  # Whatever it is, roles that do not come up are named after their time.
                answer = None
            self.last = (asked_at, answer)
            if answer is not None:
                self.last_known = answer
            if self._stop.wait(ASK_EVERY):
                return
