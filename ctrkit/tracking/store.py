"""Deliver events to MLflow; with `exported_model` the only code that imports it, which takes two to five seconds."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrkit.atomic import TEMPORARY_MARK, remove_leftovers
from ctrkit.errors import ArtifactError, TrackingError
from ctrkit.progress import progress
from ctrkit.tracking.events import Buffer, Event, RunHeader, batches
from ctrkit.tracking.location import Location, without_password
from ctrkit.tracking.parameters import KEY_LENGTH, TAG_LENGTH, shorten
from ctrkit.tracking.quiet import quiet

LOG = logging.getLogger("ctrkit.tracking")

# MLflow 3.17, mlflow/utils/validation.py.
METRICS_PER_REQUEST = 1000
PARAMETERS_PER_REQUEST = 100

PROBE_TIMEOUT = 5.0  # Seconds for a server to answer anything at all.
RESUMED = "ctrkit.resumed"
FAILURE = "ctrkit.failure"
CHANGED = "ctrkit.changed."  # A parameter cannot change in MLflow: on resuming, the new value becomes a tag.

# MLflow is asked once more where it is down, not for minutes: delivery has a schedule of its own. A user's own
# setting wins. Telemetry stays off unless the user turned it on.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # What a verb prints is its own.
}
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST", "INVALID_STATE")


class Unreachable(TrackingError):
    """The store did not answer; what was meant for it must be kept."""


class Refused(TrackingError):
    """The store answered that it will never take this."""


class Store:
    """A connection to one tracking store, opened by the first call that needs it. Use from one thread at a time."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._client: Any = None
        self._parameters: dict[str, str] = {}  # Of the open run, as the store has them.

    def open_run(self, header: RunHeader) -> RunHeader:
        """Create the run, or go on with `header.run_id`; return the header with the id that the run has.

        A run to go on with that the store no longer knows is created anew: an old tracking record must not stop a
        training. Raises `Unreachable`, or `TrackingError` for an experiment that was deleted.
        """
        with self._speaking():
            client = self._connect()
            if header.run_id is not None:
                reopened = self._reopen(client, header)
                if reopened is not None:
                    return reopened
            experiment_id = self._experiment(client, header.experiment)
            run = client.create_run(
                experiment_id, start_time=header.started, tags=_tags(header.tags), run_name=header.run_name
            )
            self._parameters = {}
            return replace(header, run_id=run.info.run_id, experiment_id=str(experiment_id))

    def deliver(self, run_id: str, event: Event, buffer: Buffer) -> Any:
        """Hand one event to the store; a model's event returns its URI. Raises `Unreachable` or `Refused`."""
        with self._speaking():
            deliver = getattr(self, f"_deliver_{event.kind}")
            return deliver(self._connect(), run_id, event.content, buffer)

    # --- one method a kind of event -------------------------------------------------------------------------------

    def _deliver_metrics(self, client: Any, run_id: str, rows: list[list[Any]], buffer: Buffer) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(key, value, milliseconds, step) for key, value, step, milliseconds in rows]
        for batch in batches(metrics, METRICS_PER_REQUEST):
            client.log_batch(run_id, metrics=batch, synchronous=True)

    def _deliver_params(self, client: Any, run_id: str, values: dict[str, str], buffer: Buffer) -> None:
        from mlflow.entities import Param

        known = self._parameters
        new = [Param(key, value) for key, value in values.items() if key not in known]
        for batch in batches(new, PARAMETERS_PER_REQUEST):
            client.log_batch(run_id, params=batch, synchronous=True)
        known.update((param.key, param.value) for param in new)
        changed = {f"{CHANGED}{key}": value for key, value in values.items() if known[key] != value}
        if changed:
            self._deliver_tags(client, run_id, changed, buffer)

    def _deliver_tags(self, client: Any, run_id: str, values: dict[str, str], buffer: Buffer) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in _tags(values).items()]
        for batch in batches(tags, PARAMETERS_PER_REQUEST):
            client.log_batch(run_id, tags=batch, synchronous=True)

    def _deliver_file(self, client: Any, run_id: str, content: dict[str, str], buffer: Buffer) -> None:
        path = buffer.staged(content["path"])
        if not path.exists():
            raise Refused(f"{path} is gone, so it could not be logged.")
        client.log_artifact(run_id, str(path), content["folder"] or None)

    def _deliver_model(self, client: Any, run_id: str, content: dict[str, Any], buffer: Buffer) -> str:
        from ctrkit.tracking.model_log import log_model  # Reads the SavedModel's index; most runs log no model.

        try:
            return log_model(client, run_id, **content)
        except ArtifactError as error:  # Between the export and a late upload anything may have happened to it.
            raise Refused(f"The exported model could not be logged: {error}") from error

    def _deliver_end(self, client: Any, run_id: str, content: dict[str, Any], buffer: Buffer) -> None:
        client.set_terminated(run_id, content["status"], content["milliseconds"])

    # --- connecting -----------------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        if self._client is None:
            if self.location.is_server:
                _probe(self.location.uri)
            file = self.location.database_file
            if file is not None and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                _create_database(file)
            self._client = _open_client(self.location.uri)
        return self._client

    def disconnect(self) -> None:
        """Forget the client, so that the next call probes the server again."""
        self._client = None

    def _reopen(self, client: Any, header: RunHeader) -> RunHeader | None:
        from mlflow.exceptions import MlflowException

        try:
            run = client.get_run(header.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            run = None
        if run is None or run.info.lifecycle_stage != "active":
            LOG.warning("Tracked run %s is no longer in %s; a new one takes its place.", header.run_id, self.shown)
            return None
        self._parameters = dict(run.data.params)
        if not header.attached:
            client.update_run(header.run_id, status="RUNNING")
            client.set_tag(header.run_id, RESUMED, str(int(run.data.tags.get(RESUMED, "0")) + 1))
            if FAILURE in run.data.tags:
                client.delete_tag(header.run_id, FAILURE)
        return replace(header, experiment_id=str(run.info.experiment_id))

    def _experiment(self, client: Any, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(name)
        if found is None:
            root = self.location.artifact_root
            try:
                folder = None if root is None else (root / _slug(name)).absolute().as_uri()
                return str(client.create_experiment(name, artifact_location=folder))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(name)  # Another run created it in between.
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"Experiment {name!r} was deleted in {self.shown}. Choose another name, e.g. "
                f"`tracking.experiment={name}-2`, or bring it back with `mlflow experiments restore --experiment-id "
                f"{found.experiment_id}`."
            )
        return str(found.experiment_id)

    @property
    def shown(self) -> str:
        """The store's URI without a password."""
        return without_password(self.location.uri)

    @contextlib.contextmanager
    def speaking(self) -> Iterator[Any]:
        """MLflow's client, connected; what it raises inside the block becomes `Unreachable` or `Refused`."""
        with self._speaking():
            yield self._connect()

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """Quieten MLflow's own log lines, and sort its errors into `Unreachable` and `Refused`."""
        try:
            for name, value in _SETTINGS.items():
                os.environ.setdefault(name, value)
            import mlflow  # noqa: F401  # Before `quiet`: it configures its own loggers.

            with quiet():
                yield
        except TrackingError:
            raise
        except ModuleNotFoundError as error:
            fix = "ctrkit[postgres]" if self.location.scheme.startswith("postgresql") else str(error.name)
            raise Unreachable(
                f"Tracking store {self.shown} needs the package {error.name!r}, which is not installed "
                f"(pip install '{fix}')"
            ) from error
        except Exception as error:
            reason = without_password(" ".join(str(error).split()))[:300]
            if getattr(error, "error_code", None) in _REFUSALS:
                raise Refused(f"Tracking store {self.shown} refused: {reason}") from error
            raise Unreachable(
                f"Tracking store {self.shown} cannot be used ({type(error).__name__}: {reason})"
            ) from error


def _open_client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create_database(file: Path) -> None:
    """Make an SQLite store whole or not at all.

    MLflow's own way, dozens of migrations on the file itself, leaves a store that no run can use when it is killed
    or when two processes do it at once. So it is made under another name; the first to finish gives it `file`.
    """
    remove_leftovers(file)
    temporary = file.with_name(f".{file.name}{TEMPORARY_MARK}{os.getpid()}-{threading.get_ident()}")
    with progress("tracking: making the store", total=1, unit="databases") as shown:
        try:
            _open_client(f"sqlite:///{temporary}").get_experiment_by_name("Default")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
        shown.advance(1)


def _probe(uri: str) -> None:
    """Raise `Unreachable` unless the server answers something, whatever it is, in good time."""
    import requests

    try:
        requests.get(f"{uri}/health", timeout=PROBE_TIMEOUT, allow_redirects=False)
    except requests.exceptions.SSLError:
        return  # It answers; MLflow has settings of its own for certificates.
    except requests.exceptions.RequestException as error:
        raise Unreachable(f"Tracking store {without_password(uri)} does not answer ({type(error).__name__})") from error


def _tags(values: dict[str, str]) -> dict[str, str]:
    return {key[:KEY_LENGTH]: shorten(value, TAG_LENGTH) for key, value in values.items()}


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip(".") or "_"
