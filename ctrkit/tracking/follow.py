"""Watch what an alias of a registered model points to, and fetch each version that it moves to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ctrkit.errors import CtrkitError
from ctrkit.tracking.fetched import fetch, tidy
from ctrkit.tracking.reference import ModelReference
from ctrkit.tracking.registry import RegisteredVersion, Registry

LOG = logging.getLogger("ctrkit.tracking")


class Follower:
    """Looks at the registry again and again; `on_version` gets each new version and where its files are.

    A registry that is down, an alias that is gone, or files that are not whole are a warning: the version of before
    stays, and the next look tries again.
    """

    def __init__(
        self,
        registry: Registry,
        reference: ModelReference,
        folder: Path,
        on_version: Callable[[RegisteredVersion, Path], None],
        *,
        every: float = 2.0,
    ) -> None:
        """`every` is the number of seconds between two looks."""
        self._registry, self._reference, self._folder = registry, reference, folder
        self._on_version, self._every = on_version, every
        self._current: tuple[int, str] | None = None
        self._told = ""

    def first(self) -> None:
        """Fetch what is meant now. Raises `RegistryError`, `TrackingError`, and what `on_version` raises."""
        self._look()

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set; call `first` before."""
        while not stop.wait(self._every):
            try:
                self._look()
            except CtrkitError as error:
                self._tell(str(error))
            except Exception as error:  # Whatever it is, what is served stays.
                LOG.debug("Following %s", self._reference, exc_info=True)
                self._tell(f"Following {self._reference}: {type(error).__name__}: {error}")
            else:
                if self._told:
                    LOG.warning("%s can be followed again.", self._reference)
                self._told = ""

    def _look(self) -> None:
        version = self._registry.resolve(self._reference)
        wanted = (version.version, version.digest)
        if wanted == self._current:
            return
        path = fetch(self._registry, version, self._folder)
        self._on_version(version, path)
        self._current = wanted
        tidy(self._folder)

    def _tell(self, complaint: str) -> None:
        if complaint != self._told:
            stays = f"Version {self._current[0]} stays. " if self._current is not None else ""
            LOG.warning("%s %sTrying again every %g s.", complaint, stays, self._every)
        self._told = complaint
