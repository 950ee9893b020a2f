"""One model's versions: bring in what its policy asks for, let go of the rest, and never serve a broken one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ctrkit.errors import CtrkitError, IndexMismatchError, ServingError
from ctrkit.serving.models.attempts import Attempts
from ctrkit.serving.models.config import ModelConfig
from ctrkit.serving.models.folder import Stamp, graph_stamp, is_begun, numbered
from ctrkit.serving.models.memory import trim
from ctrkit.serving.models.policy import wanted
from ctrkit.serving.models.states import State, States
from ctrkit.serving.servable import Servable
from ctrkit.serving.versions import SAVED_MODEL_FILE

Loader = Callable[[Path, int, str], Servable]
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A version in memory."""

    servable: Servable
    path: Path
    graph: tuple[int, ...]  # What `graph_stamp` said before it was read.
    seconds: float


@dataclass(frozen=True)
class Serving:
    """What requests find, read at once: a label never points past the versions that were there with it."""

    available: Mapping[int, Loaded] = field(default_factory=dict)  # The highest number first.
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass
class ModelVersions:
    """All methods but `retire` are called by one thread; `serving` is replaced, never changed, so any may read it."""

    config: ModelConfig
    loader: Loader
    states: States
    attempts: Attempts
    same_index: bool = False
    serving: Serving = Serving()
    _told: str = ""  # The last complaint about the folder: the next look says it only if it changed.
    _loading: int | None = None
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def available(self) -> Mapping[int, Loaded]:
        """The versions that requests find now, the highest number first."""
        return self.serving.available

    def bring(self, config: ModelConfig, *, eager: bool, publish: bool) -> tuple[dict[int, Loaded], list[int]]:
        """Load what `config` asks for; return all that is loaded then, and which of it is asked for.

        With `eager`, versions that failed before or were only just written are tried at once. With `publish`, each is
        available as soon as it is loaded, otherwise the caller has to `publish` or `discard` them.
        """
        have, failed_now = dict(self.available), set[int]()
        while True:
            found = self._found(config)
            if found is None:  # A file system that is away for a while ends no version.
                return have, sorted(have)
            self.attempts.keep(found)

            def usable(version: int, found: dict[int, Path] = found) -> bool:
                if version in have and have[version].path == found[version]:
                    return True
                return version not in failed_now and self._is_due(version, found[version], eager=eager)

            chosen = wanted(config.policy, found, usable)
            missing = [version for version in chosen if version not in have or have[version].path != found[version]]
            if not missing:
                if chosen:
                    self._tell(_rewritten(self.config.name, have, chosen))
                return have, chosen
            version = missing[0]
            loaded = self._load(version, found[version])
            if loaded is None:
                failed_now.add(version)
                continue
            old = have.get(version)
            have[version] = loaded
            if publish:
                self.publish(have)
                if old is not None:
                    self.retire(version, old)

    def publish(self, have: Mapping[int, Loaded]) -> None:
        """Let requests find these versions, and no other: one assignment."""
        before = self.available
        with self._changing:
            self.serving = Serving(dict(sorted(have.items(), reverse=True)), self.config.labels)
        for version, loaded in self.available.items():
            if before.get(version) is not loaded:
                self.states.note(version, State.AVAILABLE, seconds=loaded.seconds)
                LOG.info(
                    "%s version %d is available after %.1f s (%s)",
                    self.config.name, version, loaded.seconds, loaded.path,
                )  # fmt: skip

    def commit(self, config: ModelConfig, have: Mapping[int, Loaded], chosen: list[int]) -> list[tuple[int, Loaded]]:
        """Move to another configuration with what `bring` brought; return what the caller has to `retire`."""
        before, self.config = self.available, config
        self.publish({version: loaded for version, loaded in have.items() if version in chosen})
        all_of_it = {id(loaded): (version, loaded) for version, loaded in [*before.items(), *have.items()]}
        return [
            (version, loaded) for version, loaded in all_of_it.values() if self.available.get(version) is not loaded
        ]

    def let_go(self, chosen: list[int]) -> list[tuple[int, Loaded]]:
        """Unpublish what is not among `chosen`, unless that would leave nothing; the caller has to `retire` it."""
        if not any(version in self.available for version in chosen):
            if self.available and not chosen:
                self._tell(
                    f"No version that could be served is left in {self.config.base_path}: "
                    f"{self.config.name} stays at version {next(iter(self.available))}, which is no longer there."
                )
            return []
        unwanted = [(version, loaded) for version, loaded in self.available.items() if version not in chosen]
        if unwanted:
            self.publish({version: loaded for version, loaded in self.available.items() if version in chosen})
        for label, version in self.config.labels.items():
            if any(version == gone for gone, _ in unwanted):
                LOG.warning(
                    "Label %r of %s points to version %d, which is unloaded now. Move the label, or keep the version "
                    "with `specific`.",
                    label, self.config.name, version,
                )  # fmt: skip
        return unwanted

    def retire(self, version: int, loaded: Loaded) -> None:
        """Wait until the last request has left a version that is not published any more, then free its memory."""
        self._note_end(version, State.UNLOADING)
        loaded.servable.close()
        trim()
        self._note_end(version, State.END)

    def discard(self, have: Mapping[int, Loaded]) -> None:
        """Free versions that were brought in without being published."""
        for version, loaded in have.items():
            if self.available.get(version) is not loaded:
                self.retire(version, loaded)

    def why_none(self, config: ModelConfig) -> CtrkitError:
        """What to raise when nothing that `config` asks for could be loaded."""
        error = self.attempts.newest_error()
        if error is not None:
            return error
        base = config.base_path
        found = self._found(config)
        what = "does not exist"
        if found:
            what = f"holds versions {sorted(found)}, of which the policy asks for none that is complete"
        elif base.is_dir():
            what = "holds no version"
        return ServingError(
            f"No model to serve: {base} {what} (expected e.g. {base / '1' / SAVED_MODEL_FILE}). "
            "Make one with `ctrkit export`."
        )

    def _found(self, config: ModelConfig) -> dict[int, Path] | None:
        try:
            return numbered(config.base_path)
        except OSError as error:
            self._tell(f"Could not find base path {config.base_path} for servable {config.name}: {error.strerror}.")
            return None

    def _is_due(self, version: int, path: Path, *, eager: bool) -> bool:
        if not is_begun(path):
            return False
        if eager or self.attempts.is_due(version, path):
            return True
        if self.attempts.error(version) is None:
            self.states.note(version, State.START)  # Seen, and waiting until nobody writes to it.
        return False

    def _load(self, version: int, path: Path) -> Loaded | None:
        """Load one version; None when it failed, which is noted and logged."""
        stamp, graph, start = Stamp.of(path), graph_stamp(path), time.perf_counter()
        self._loading = version
        try:
            if version not in self.available:  # Otherwise it answers from another folder until this one is ready.
                self.states.note(version, State.START)
                self.states.note(version, State.LOADING)
            servable = self.loader(path, version, self.config.name)
            try:
                self._check_index(servable, path)
            except CtrkitError:
                servable.close()
                raise
        except CtrkitError as error:
            self._failed(version, stamp, error)
            return None
        except Exception as error:  # A broken file can raise anything; the state must not stay at LOADING.
            LOG.debug("Loading %s", path, exc_info=True)
            self._failed(version, stamp, ServingError(f"Loading {path}: {type(error).__name__}: {error}"))
            return None
        finally:
            self._loading = None
        self.attempts.succeeded(version)
        return Loaded(servable, path, graph, time.perf_counter() - start)

    def _failed(self, version: int, stamp: Stamp, error: CtrkitError) -> None:
        if version not in self.available:
            self.states.note(version, State.END, error)
        if self.attempts.failed(version, stamp, error):
            stays = f" Version {next(iter(self.available))} stays." if self.available else ""
            LOG.error("%s version %d is not served: %s%s", self.config.name, version, error, stays)

    def _check_index(self, servable: Servable, path: Path) -> None:
        if not self.same_index or not self.available:
            return
        version, current = next(iter(self.available.items()))
        if _fingerprint(servable) != _fingerprint(current.servable):
            raise IndexMismatchError(
                f"SavedModel {path} was trained with index {str(_fingerprint(servable))[:12]}, but version {version}, "
                f"which is served, with {str(_fingerprint(current.servable))[:12]}, and `same_index` asks for one. "
                "Train with the served version's index, or start without `same_index`."
            )

    def _note_end(self, version: int, state: int) -> None:
        with self._changing:  # The same number may have been loaded anew while the old one drained.
            if version not in self.available and version != self._loading:
                self.states.note(version, state)

    def _tell(self, complaint: str) -> None:
        if complaint and complaint != self._told:
            LOG.warning("%s", complaint)
        self._told = complaint


def _rewritten(name: str, have: Mapping[int, Loaded], chosen: list[int]) -> str:
    """A complaint about versions that were written again: a version is one content, as in TensorFlow Serving."""
    for version in chosen:
        loaded = have[version]
        if graph_stamp(loaded.path) not in (loaded.graph, ()):
            return (
                f"The files of {name} version {version} were replaced after it was loaded; requests still get the old "
                f"ones. Write changes to a new version, e.g. {loaded.path.parent / str(max(chosen) + 1)}."
            )
    return ""


def _fingerprint(servable: Servable) -> str | None:
    return None if servable.index is None else servable.index.fingerprint
