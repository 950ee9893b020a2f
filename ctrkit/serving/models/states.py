"""How far a version has come, from its folder being seen to its memory being free."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ctrkit.errors import CtrkitError
from ctrkit.serving.protos import prediction_pb2

State = prediction_pb2.ModelVersionStatus.State
KEPT_ENDED = 32  # Versions of a model that are over and still told of; a server may see thousands.
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionState:
    """A version and how far it has come; `error` says why it was not (or is no longer) served."""

    version: int
    state: int  # START, LOADING, AVAILABLE, UNLOADING, END.
    error: CtrkitError | None = None
    seconds: float | None = None  # That loading, checking and warming took.


class States:
    """The states of one model's versions; each change goes to `on_change` as well."""

    def __init__(self, name: str, on_change: Callable[[str, VersionState], None] | None) -> None:
        self._name, self._on_change = name, on_change
        self._of: dict[int, VersionState] = {}
        self._changing = threading.Lock()

    def note(self, version: int, state: int, error: CtrkitError | None = None, seconds: float | None = None) -> None:
        """Record a change; saying the same twice is no change."""
        with self._changing:
            old = self._of.get(version)
            new = VersionState(version, state, error, seconds)
            if old is not None and state in (State.UNLOADING, State.END) and seconds is None:
                new = dataclasses.replace(new, seconds=old.seconds)
            if old == new:
                return
            self._of.pop(version, None)  # Ordered by the last change.
            self._of[version] = new
            ended = [one.version for one in self._of.values() if one.state == State.END]
            for forgotten in ended[: max(0, len(ended) - KEPT_ENDED)]:
                del self._of[forgotten]
        if self._on_change is not None:
            try:
                self._on_change(self._name, new)
            except Exception:  # Whoever counts the changes must not stop them.
                LOG.exception("Telling of a change of model %r failed", self._name)

    def get(self, version: int) -> VersionState | None:
        """The state of one version, None when it was never seen."""
        return self._of.get(version)

    def newest_first(self) -> list[VersionState]:
        """All versions that were seen, the highest number first."""
        with self._changing:
            return sorted(self._of.values(), key=lambda one: -one.version)
