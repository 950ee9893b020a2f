"""When a slow request is sent a second time, and how many may be."""

from __future__ import annotations

import threading
from collections import deque

from ctrkit.serving.connection.options import Hedging

REMEMBERED = 512  # Answers whose times make the quantile,
AT_LEAST = 32  # and the fewest that do; until then nothing is hedged.
EVERY = 32  # Answers between two looks at the quantile.
IN_STOCK = 10.0  # Hedges that may be sent at once after a time without any.


class Hedges:
    """The delay and the budget of one client's hedges; safe to share between threads."""

    def __init__(self, options: Hedging | None) -> None:
        self._options = options
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._stock, self._since = 1.0, 0
        self._lock = threading.Lock()
        self.delay = None if options is None else options.after  # Seconds; None: not now.
        self.sent = 0

    def asked(self) -> None:
        """A request was sent for the first time: it pays for its share of a hedge."""
        if self._options is not None:
            with self._lock:
                self._stock = min(IN_STOCK, self._stock + self._options.share)

    def take(self) -> bool:
        """Whether a hedge may be sent now."""
        with self._lock:
            if self._stock < 1:
                return False
            self._stock -= 1
            self.sent += 1
            return True

    def answered(self, seconds: float) -> None:
        """A request took so long from its first attempt to its answer."""
        if self._options is None or self._options.after is not None:
            return
        with self._lock:
            self._times.append(seconds)
            self._since += 1
            if len(self._times) >= AT_LEAST and (self._since >= EVERY or self.delay is None):
                ordered = sorted(self._times)
                self.delay, self._since = ordered[int(self._options.quantile * len(ordered))], 0
