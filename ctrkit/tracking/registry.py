"""The model registry of a store: registered models, their versions, tags and aliases, and their SavedModels."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctrkit.checksum import directory_checksum
from ctrkit.errors import RegistryError, did_you_mean
from ctrkit.tracking.location import Location
from ctrkit.tracking.model_log import DIGEST, INDEX_IN_MODEL
from ctrkit.tracking.parameters import TAG_LENGTH, shorten
from ctrkit.tracking.reference import ModelReference
from ctrkit.tracking.registered import MODEL_ID, PROMOTE, READY, RegisteredModel, RegisteredVersion
from ctrkit.tracking.store import Store, Unreachable

SHOWN = 200  # Names of models that are read for a hint.


class Registry:
    """What one store registers. Use from one thread; every method raises `Unreachable` where it does not answer."""

    def __init__(self, location: Location, *, may_create: bool = False) -> None:
        """`may_create`: make the SQLite store where there is none, as a training does; else that is an error."""
        self.location, self._may_create = location, may_create
        self._store = Store(location)

    @property
    def shown(self) -> str:
        """The store's URI without a password."""
        return self._store.shown

    # --- what is there --------------------------------------------------------------------------------------------

    def model(self, name: str) -> RegisteredModel:
        """A registered model. Raises `RegistryError` when there is none of this name, with the nearest."""
        with self._speaking() as client:
            found = _or_none(client.get_registered_model, name)
            if found is None:
                names = [one.name for one in client.search_registered_models(max_results=SHOWN)]
                hint = did_you_mean(name, names) if names else f" None is registered there. {PROMOTE}"
                raise RegistryError(f"No model {name!r} is registered in {self.shown}.{hint}")
        aliases = {alias: int(version) for alias, version in found.aliases.items()}
        return RegisteredModel(name=name, aliases=aliases, tags=dict(found.tags))

    def version(self, name: str, version: int) -> RegisteredVersion:
        """A version. Raises `RegistryError` when there is none, e.g. because it was deleted."""
        with self._speaking() as client:
            found = _or_none(client.get_model_version, name, str(version))
        if found is None:
            raise RegistryError(
                f"Model {name} has no version {version} in {self.shown}: it was deleted, or never made. Versions with "
                f"an alias: {_aliases(self.model(name).aliases)}."
            )
        return RegisteredVersion.of(found)

    def resolve(self, reference: ModelReference) -> RegisteredVersion:
        """The version that is meant. Raises `RegistryError` for an unknown model, alias or version."""
        if reference.version is not None:
            return self.version(reference.name, reference.version)
        assert reference.alias is not None
        aliases = self.model(reference.name).aliases
        if reference.alias not in aliases:
            hint = did_you_mean(reference.alias, aliases) if aliases else f" It has no alias yet. {PROMOTE}"
            raise RegistryError(
                f"Model {reference.name} has no alias {reference.alias!r} in {self.shown}.{hint} Aliases: "
                f"{_aliases(aliases)}."
            )
        return self.version(reference.name, aliases[reference.alias])

    def logged_model(self, run_id: str, digest: str) -> str | None:
        """Id of the model that the run logged from the SavedModel of this checksum, None when there is none whole."""
        with self._speaking() as client:
            run = _or_none(client.get_run, run_id)
            outputs = [] if run is None or run.outputs is None else run.outputs.model_outputs
            for output in reversed(outputs):
                model = _or_none(client.get_logged_model, output.model_id)
                if model is not None and str(model.status) == READY and model.tags.get(DIGEST) == digest:
                    return str(model.model_id)
        return None

    # --- what is written ------------------------------------------------------------------------------------------

    def create(self, name: str) -> None:
        """Make a registered model without versions; nothing where there is one of this name."""
        with self._speaking() as client:
            _create_model(client, name)

    def register(self, name: str, model_id: str, tags: Mapping[str, Any]) -> RegisteredVersion:
        """The version made of a logged model; made now where it is not there yet.

        `create` the model first, and hold its lock, or two processes make a version each.
        """
        with self._speaking() as client:
            model = client.get_logged_model(model_id)
            for known in client.search_model_versions(f"run_id='{model.source_run_id}'"):
                if known.name == name and known.tags.get(MODEL_ID) == model_id:
                    return RegisteredVersion.of(known)
            made = client.create_model_version(
                name,
                source=model.artifact_location,  # `models:/ID` would be looked up in the process's global store.
                run_id=model.source_run_id,
                model_id=model_id,
                tags=_texts({**tags, MODEL_ID: model_id, **_of_ctrkit(model.tags)}),
            )
        return RegisteredVersion.of(made)

    def tag_version(self, version: RegisteredVersion, tags: Mapping[str, Any]) -> None:
        """Set tags of a version."""
        with self._speaking() as client:
            for key, value in _texts(tags).items():
                client.set_model_version_tag(version.name, str(version.version), key, value)

    def tag_model(self, name: str, tags: Mapping[str, Any]) -> None:
        """Set tags of a registered model; None removes one."""
        with self._speaking() as client:
            for key, value in tags.items():
                if value is None:
                    client.delete_registered_model_tag(name, key)
                else:
                    client.set_registered_model_tag(name, key, str(value))

    def point(self, name: str, alias: str, version: int | None) -> None:
        """Let an alias point to a version; None removes it. Others move aliases by `ctrkit.tracking.aliases`."""
        with self._speaking() as client:
            if version is None:
                client.delete_registered_model_alias(name, alias)
            else:
                client.set_registered_model_alias(name, alias, str(version))

    # --- its files ------------------------------------------------------------------------------------------------

    def check(self, version: RegisteredVersion) -> None:
        """Read every file of the version's SavedModel and compare. Raises `RegistryError` unless it is whole."""
        if version.status != READY:
            raise RegistryError(f"Model {version} is {version.status} in {self.shown}, expected {READY}. {PROMOTE}")
        with self._files(version) as path:
            check_digest(version, path)

    def download(self, version: RegisteredVersion, folder: Path) -> Path:
        """Copy the version's SavedModel into `folder`; returns where it is then. Compare it by `check_digest`."""
        return self._download(version, version.place, folder)

    def download_index(self, version: RegisteredVersion, folder: Path) -> Path:
        """Copy the version's feature index alone into `folder`; returns where it is then."""
        return self._download(version, f"{version.place}/{INDEX_IN_MODEL.as_posix()}", folder)

    @contextlib.contextmanager
    def _files(self, version: RegisteredVersion) -> Iterator[Path]:
        """The version's SavedModel, where it is when this machine can read it there, else as a copy."""
        with self._speaking() as client:
            from mlflow.utils.file_utils import local_file_uri_to_path
            from mlflow.utils.uri import is_local_uri

            uri = client.get_model_version_download_uri(version.name, str(version.version))
            place = Path(local_file_uri_to_path(uri), version.place) if is_local_uri(uri) else None
        if place is not None and place.is_dir():
            yield place
            return
        with tempfile.TemporaryDirectory(prefix="ctrkit-model-") as folder:
            yield self.download(version, Path(folder))

    def _download(self, version: RegisteredVersion, place: str, folder: Path) -> Path:
        with self._speaking() as client:
            from mlflow.artifacts import download_artifacts

            uri = client.get_model_version_download_uri(version.name, str(version.version))
            try:
                found = Path(
                    download_artifacts(
                        artifact_uri=f"{uri.rstrip('/')}/{place}",
                        dst_path=str(folder),
                        tracking_uri=self.location.uri,
                        registry_uri=self.location.uri,
                    )
                )
            except Exception as error:
                if _is_connection(error):
                    raise
                raise self._unreadable(version, error) from error
        if not found.is_dir() or not any(found.iterdir()):
            raise self._unreadable(version, f"{place} is empty")
        return found

    def _unreadable(self, version: RegisteredVersion, reason: object) -> RegistryError:
        return RegistryError(
            f"The files of model {version} cannot be read from {self.shown} ({' '.join(str(reason).split())[:200]}). "
            f"Were they deleted? Promote the run again, or go back: ctrkit rollback {version.name}"
        )

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[Any]:
        file = self.location.database_file
        if file is not None and not file.exists() and not self._may_create:
            raise RegistryError(
                f"There is no tracking store at {self.shown}, so no model is registered there. Name the store by "
                "tracking.uri=URI or MLFLOW_TRACKING_URI, or the folder above it by root=FOLDER."
            )
        try:
            with self._store.speaking() as client:
                yield client
        except Unreachable:
            self._store.disconnect()  # So that the next call probes it anew.
            raise


def check_digest(version: RegisteredVersion, path: Path) -> None:
    """Raise `RegistryError` unless `path` holds the SavedModel that was registered."""
    try:
        found = directory_checksum(path)
    except OSError as error:
        raise RegistryError(f"The files of model {version} cannot be read at {path}: {error}. {PROMOTE}") from error
    if found != version.digest:
        raise RegistryError(
            f"The files of model {version} are not those that were registered (SHA-256 {found[:12]}, expected "
            f"{version.digest[:12]}): they are damaged, or not there in full. Export and promote the run again."
        )


def _or_none(call: Any, *arguments: Any) -> Any:
    """What MLflow returns, None for something that it does not know."""
    from mlflow.exceptions import MlflowException

    try:
        return call(*arguments)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            return None
        raise


def _create_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    if _or_none(client.get_registered_model, name) is not None:
        return
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # Another promotion created it in between.
            raise


def _is_connection(error: BaseException | None) -> bool:
    """Whether the store, not the file, is what cannot be reached."""
    import requests

    lost = (requests.exceptions.ConnectionError, requests.exceptions.Timeout)
    while error is not None:
        if isinstance(error, lost):
            return True
        error = error.__cause__ or error.__context__
    return False


def _texts(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: shorten(str(value), TAG_LENGTH) for key, value in tags.items() if value is not None}


def _of_ctrkit(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.startswith("ctrkit.")}


def _aliases(aliases: Mapping[str, int]) -> str:
    return ", ".join(f"{alias} -> {version}" for alias, version in sorted(aliases.items())) or "none"
