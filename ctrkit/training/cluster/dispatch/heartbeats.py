"""A thread that tells the chief once a second that its role lives, and what it does."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient

EVERY = 1.0  # Seconds.


class Heartbeats:
    """Sends `state` and `stats` while in a `with` block; a chief that is away is tried again, silently.

    >>> with Heartbeats(client) as beats:  # doctest: +SKIP
    ...     beats.say("training")
    """

    def __init__(self, client: DispatchClient, state: str = "starting", *, every: float = EVERY) -> None:
        self._client, self._every = client, every
        self._state, self._stats = state, dict[str, Any]()
        self._wake, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="ctrkit-heartbeats", daemon=True)

    def say(self, state: str, **stats: Any) -> None:
        """Change the state, and add to the stats (JSON); sent at once."""
        self._stats = {**self._stats, **stats}
        self._state = state
        self._wake.set()

    def __enter__(self) -> Heartbeats:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over:
            with contextlib.suppress(TrainingError):  # Other questions wait for the chief, and say so in the end.
                self._client.heartbeat(self._state, self._stats)
            self._wake.wait(self._every)
            self._wake.clear()
