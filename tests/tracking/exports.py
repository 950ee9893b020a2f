"""As much of an export as is needed to log and register one: nothing here loads it."""

from __future__ import annotations

from pathlib import Path

from ctrkit.indexing import FeatureIndex
from ctrkit.tracking import Location, locate, start_run
from ctrkit.tracking.registry import RegisteredVersion, Registry


def write_export(folder: Path, index: FeatureIndex, content: str) -> Path:
    """Version 1 in `folder`; another `content` is another model."""
    path = folder / "1"
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text(content)
    index.save(path / "assets" / "feature_index")
    return path


def log_export(location: Location, path: Path, index: FeatureIndex, *, experiment: str = "exports") -> tuple[str, str]:
    """Log it as a model of a new run; returns the run's id and the model's."""
    with start_run(experiment, "run", uri=location.uri, work_root=path.parent) as run:
        uri = run.log_exported_model(path, fingerprint=index.fingerprint)
    assert run.run_id is not None
    assert uri is not None
    return run.run_id, uri.removeprefix("models:/")


def register(registry: Registry, name: str, folder: Path, index: FeatureIndex, content: str) -> RegisteredVersion:
    """A new version of `name`, of a model with this `content`."""
    path = write_export(folder / content, index, content)
    _, model_id = log_export(registry.location, path, index)
    registry.create(name)
    return registry.register(name, model_id, {"ctrkit.run": f"run of {content}"})


def registry_in(work_root: Path) -> Registry:
    """The registry of the SQLite store in a folder."""
    return Registry(locate(work_root=work_root, environment={}))
