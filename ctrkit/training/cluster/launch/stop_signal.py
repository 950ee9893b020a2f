"""Take SIGINT, SIGTERM and SIGHUP as a wish to end the cluster in order."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: the terminal was closed.


class StopSignals:
    """How many came, and the name of the first."""

    def __init__(self, wake: threading.Event) -> None:
        self.count = 0
        self.first: str | None = None
        self._wake = wake

    def take(self, number: int, _: FrameType | None) -> None:
        """The handler."""
        self.count += 1
        if self.first is None:
            self.first = signal.Signals(number).name
        self._wake.set()


@contextlib.contextmanager
def stop_signals(wake: threading.Event) -> Iterator[StopSignals]:
    """Yield what counts the signals and sets `wake`.

    Outside of the main thread, where Python takes no signals, the count stays at 0.
    """
    taken = StopSignals(wake)
    if threading.current_thread() is not threading.main_thread():
        yield taken
        return
    before = {number: signal.signal(number, taken.take) for number in SIGNALS}
    try:
        yield taken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
