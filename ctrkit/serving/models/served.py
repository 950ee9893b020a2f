"""All models of one server by name: found by requests, kept up to date by one thread."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping

import grpc

from ctrkit.errors import ServingError
from ctrkit.serving.models.attempts import Attempts, Patience
from ctrkit.serving.models.config import ModelConfig, ModelsConfig
from ctrkit.serving.models.model import Loaded, Loader, ModelVersions, Serving
from ctrkit.serving.models.states import State, States, VersionState
from ctrkit.serving.models.worker import Worker
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.servable import Servable

LOG = logging.getLogger(__name__)


class ServedModels:
    """Several models, each with the versions that its policy asks for.

    One thread looks at the folders, loads, checks and warms; requests find a new version by one assignment, and the old
    one is freed when its last request has left. All methods may be called by any thread.
    """

    def __init__(
        self,
        config: ModelsConfig,
        loader: Loader,  # (directory, version, model name) -> a warm servable.
        *,
        poll_every: float | None = 1.0,  # Seconds between looks at the folders; None: only when told.
        on_change: Callable[[str, VersionState], None] | None = None,  # (model name, state): for logs and metrics.
        patience: Patience | None = None,
        same_index: bool = False,  # Refuse a version made with another index than the one that is served.
        allow_unavailable_labels: bool = False,  # As `--allow_version_labels_for_unavailable_models`.
    ) -> None:
        if poll_every is not None and poll_every <= 0:
            raise ServingError(f"`poll_every` is {poll_every:g} seconds, expected more than 0, or None for never.")
        self._loader, self._on_change = loader, on_change
        self._patience = Patience() if patience is None else patience
        self._same_index, self._allow_unavailable_labels = same_index, allow_unavailable_labels
        # Replaced, never changed, by the one thread that loads.
        self._models: Mapping[str, ModelVersions] = {model.name: self._versions(model) for model in config.models}
        self._config = config
        self._started = False
        self._worker = Worker(self._look, poll_every)
        self._retiring: set[threading.Thread] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, as configured."""
        return tuple(self._models)

    @property
    def config(self) -> ModelsConfig:
        """What is served now."""
        return self._config

    def start(self) -> None:
        """Load what the policies ask for; returns when every model answers.

        Raises what the loader raised (`ServingError`, `ArtifactError`) when a model has no version that loads,
        `Refusal` when a label points to a version that is not loaded; nothing is left running then.
        """
        self._worker.begin()
        try:
            self._worker.run(self._load_all)
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Look at the folders now; returns when what was found is loaded."""
        self._worker.run(self._look)

    def apply(self, config: ModelsConfig) -> None:
        """Serve these models from now on: HandleReloadConfigRequest.

        Returns when all that is new answers. Raises `Refusal`, changing nothing, when a model would have no version
        that loads (UNKNOWN), or a label would point to a version that is not loaded (FAILED_PRECONDITION). Labels may
        point to versions that are loaded by this very change.
        """
        self._worker.run(lambda: self._apply(config))

    @contextlib.contextmanager
    def use(self, name: str, *, version: int | None = None, label: str | None = None) -> Iterator[Servable]:
        """A version, kept loaded inside the block; by default the one with the highest number.

        Raises `Refusal` with TensorFlow Serving's words and codes: NOT_FOUND, INVALID_ARGUMENT for an unknown label;
        UNAVAILABLE while a model is loaded for the first time.
        """
        while True:
            servable = self._find(name, version, label)
            if servable.gate.enter():
                break  # Otherwise it was let go between the two calls, and is not found again.
        try:
            yield servable
        finally:
            servable.gate.leave()

    def available(self, name: str) -> tuple[int, ...]:
        """The versions that answer now, the highest number first; none for a model that is not configured."""
        model = self._models.get(name)
        return () if model is None else tuple(model.available)

    def version_of(self, name: str, label: str) -> int:
        """The version that a label points to. Raises `Refusal`."""
        model = self._models.get(name)
        return self._labelled(name, label, {} if model is None else model.serving.labels)

    def states(self, name: str, version: int | None = None) -> list[VersionState]:
        """How far each version that was seen has come, newest first. Raises `Refusal` (NOT_FOUND)."""
        model = self._models.get(name)
        states = [] if model is None else model.states.newest_first()
        if version is not None:
            chosen = [one for one in states if one.version == version]
            if not chosen:
                raise Refusal(
                    f"Could not find version {version} of model {name}. {self._served(name)}",
                    grpc.StatusCode.NOT_FOUND,
                )
            return chosen
        if not states:
            raise Refusal(
                f"Could not find any versions of model {name}. {self._served(name)}", grpc.StatusCode.NOT_FOUND
            )
        return states

    def close(self) -> None:
        """Unload everything; returns when the last request has left. A load under way is finished first."""
        self._worker.end()
        for model in self._models.values():
            gone = list(model.available.items())
            model.publish({})
            for version, loaded in gone:
                model.retire(version, loaded)
        for thread in list(self._retiring):
            thread.join()

    # --- finding ------------------------------------------------------------------------------------------------

    def _find(self, name: str, version: int | None, label: str | None) -> Servable:
        if not name:
            raise Refusal(f"ModelSpec has no name specified. {self._served('')}", grpc.StatusCode.INVALID_ARGUMENT)
        model = self._models.get(name)
        serving = Serving() if model is None else model.serving
        if label is not None:
            version = self._labelled(name, label, serving.labels)
        available = serving.available
        loaded = available.get(version) if version is not None else next(iter(available.values()), None)
        if loaded is not None:
            return loaded.servable
        if model is not None:
            states = model.states.newest_first()
            if not available and any(one.state in (State.START, State.LOADING) for one in states):
                raise Refusal(f"Model {name!r} is still loading; try again.", grpc.StatusCode.UNAVAILABLE)
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        why = None if model is None or version is None else model.states.get(version)
        hint = (
            f"It could not be loaded: {why.error}" if why is not None and why.error is not None else self._served(name)
        )
        raise Refusal(f"Servable not found for request: {request}. {hint}", grpc.StatusCode.NOT_FOUND)

    def _labelled(self, name: str, label: str, labels: Mapping[str, int]) -> int:
        if label in labels:
            return labels[label]
        known = ", ".join(f"{label!r} (version {version})" for label, version in labels.items())
        hint = f"Labels of {name!r}: {known}." if known else f"Model {name!r} has no labels; name a version's number."
        raise Refusal(f"Unrecognized servable version label: {label}. {hint}", grpc.StatusCode.INVALID_ARGUMENT)

    def _served(self, name: str) -> str:
        versions = self.available(name)
        if versions:
            return f"Versions of {name!r} served here: {', '.join(map(str, versions))}."
        return (
            f"Models served here: {', '.join(map(repr, self._models))}." if self._models else "No model is served here."
        )

    # --- the one thread that loads ------------------------------------------------------------------------------

    def _load_all(self) -> None:
        for model in self._models.values():
            if self._worker.is_ending:
                raise ServingError("The models were closed while they were loaded.")
            model.bring(model.config, eager=True, publish=True)
            if not model.available:
                raise model.why_none(model.config)
            self._check_labels(model.config, list(model.available))
        self._started = True

    def _look(self) -> None:
        if not self._started:
            return
        for model in self._models.values():
            if self._worker.is_ending:
                return
            _, chosen = model.bring(model.config, eager=False, publish=True)
            self._retire(model, model.let_go(chosen))

    def _apply(self, config: ModelsConfig) -> None:
        brought: list[tuple[ModelVersions, ModelConfig, dict[int, Loaded], list[int]]] = []
        try:
            for wish in config.models:
                model = self._models.get(wish.name) or self._versions(wish)
                if model.config == wish and model.available:
                    have, chosen = dict(model.available), list(model.available)
                else:
                    have, chosen = model.bring(wish, eager=True, publish=False)
                brought.append((model, wish, have, chosen))
                if not chosen:
                    raise Refusal(
                        f"1 model(s) did not become available: {{{wish.name} due to error: {model.why_none(wish)}}}. "
                        "The configuration stays as it was.",
                        grpc.StatusCode.UNKNOWN,
                    )
                self._check_labels(wish, chosen)
        except BaseException:
            for model, _, have, _ in brought:
                model.discard(have)
            raise
        # From here on nothing can fail.
        gone = [model for name, model in self._models.items() if name not in {wish.name for wish in config.models}]
        let_go = []
        for model, wish, have, chosen in brought:
            let_go.append((model, model.commit(wish, have, chosen)))
        self._models = {model.config.name: model for model, *_ in brought}
        self._config = config
        for model in gone:
            let_go.append((model, list(model.available.items())))
            model.publish({})
        for model, versions in let_go:
            self._retire(model, versions)

    def _check_labels(self, wish: ModelConfig, available: list[int]) -> None:
        for label, version in wish.labels.items():
            if version not in available and not self._allow_unavailable_labels:
                raise Refusal(
                    f"Request to assign label to version {version} of model {wish.name}, which is not currently "
                    f"available for inference. Label {label!r} may point to: {', '.join(map(str, available))}.",
                    grpc.StatusCode.FAILED_PRECONDITION,
                )

    def _retire(self, model: ModelVersions, versions: list[tuple[int, Loaded]]) -> None:
        """In threads of their own: a slow request must not keep the next version waiting."""
        for version, loaded in versions:

            def drain(version: int = version, loaded: Loaded = loaded) -> None:
                try:
                    model.retire(version, loaded)
                except Exception:
                    LOG.exception("Unloading version %d of %s failed", version, model.config.name)
                self._retiring.discard(threading.current_thread())

            thread = threading.Thread(target=drain, name=f"ctrkit-unload-{version}", daemon=True)
            self._retiring.add(thread)
            thread.start()

    def _versions(self, config: ModelConfig) -> ModelVersions:
        return ModelVersions(
            config, self._loader, States(config.name, self._on_change), Attempts(self._patience), self._same_index
        )
