"""Hand a server each version that an alias moves to, and one that it could not serve again."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

RETRY_EVERY, RETRIES = 60.0, 5  # As the server itself does with a version that its folder got.

Version = TypeVar("Version")


def switch_to_each(
    versions: Iterable[Version], switch: Callable[[Version], bool], *, retry_every: float = RETRY_EVERY
) -> None:
    """Call `switch` with each version as it comes; it returns whether that is served now.

    A version that is not is tried `RETRIES` times more, `retry_every` seconds apart, until the next one comes: what was
    missing may have been memory. Returns never; it belongs on a thread of its own.
    """
    arrived: queue.Queue[Version] = queue.Queue()

    def wait_for_versions() -> None:
        for version in versions:
            arrived.put(version)

    threading.Thread(target=wait_for_versions, name="ctrkit-versions", daemon=True).start()
    version, failures = arrived.get(), 0
    while True:
        failures = 0 if switch(version) else failures + 1
        try:
            version, failures = arrived.get(timeout=retry_every if 0 < failures <= RETRIES else None), 0
        except queue.Empty:
            continue
