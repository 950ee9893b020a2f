"""What one process of a fleet shares with the others: the models they were told to serve."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ctrkit.atomic import atomic_file

RELOADED = "reloaded.pb"  # The last ReloadConfigRequest that one of them carried out.
LOOK_EVERY = 0.1  # Seconds.
LOG = logging.getLogger(__name__)


class Member:
    """Tells the others of a request to serve other models, and carries out those that they were sent."""

    def __init__(self, directory: Path, apply: Callable[[bytes], object]) -> None:
        """`apply` carries out a ReloadConfigRequest; the last one of before is carried out now."""
        self._path, self._apply = directory / RELOADED, apply
        self._seen = b""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._follow()
        self._thread = threading.Thread(target=self._watch, name="ctrkit-fleet", daemon=True)
        self._thread.start()

    def told(self, request: bytes) -> None:
        """This process carried `request` out: the others follow within a moment."""
        with self._lock:
            self._seen = request
            with atomic_file(self._path) as temporary:
                temporary.write_bytes(request)

    def close(self) -> None:
        """Follow no longer."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(LOOK_EVERY):
            self._follow()

    def _follow(self) -> None:
        with self._lock:
            try:
                request = self._path.read_bytes()
            except FileNotFoundError:
                return
            if request == self._seen:
                return
            self._seen = request
        try:
            self._apply(request)
        except Exception as error:  # Another process carried it out, so what is wrong is here: say so and go on.
            LOG.error("The models that another process was told to serve could not be taken over: %s", error)
