"""Log an exported SavedModel as an MLflow model that scores raw log columns."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from ctrkit.checksum import directory_checksum
from ctrkit.errors import ArtifactError, IndexMismatchError
from ctrkit.indexing import FeatureIndex
from ctrkit.tracking.environment import package_versions

INDEX_IN_MODEL = Path("assets", "feature_index")
SAVED_MODEL = "saved_model"  # Name of the artifact inside the MLflow model.
MODEL_CODE = Path(__file__).with_name("exported_model.py")
DIGEST = "ctrkit.digest"  # Tag: `directory_checksum` of the SavedModel.
SAVED_MODEL_AT = "ctrkit.saved_model"  # Tag: its place in the MLflow model's files.
REQUIRED = ("ctrkit", "tensorflow", "numpy", "mlflow")  # To load and score it elsewhere.


def check_export(saved_model_dir: Path, fingerprint: str) -> FeatureIndex:
    """Return the index inside a SavedModel. Raises `ArtifactError` for none, `IndexMismatchError` for another one."""
    if not (saved_model_dir / "saved_model.pb").is_file():
        raise ArtifactError(f"No SavedModel at {saved_model_dir} (no saved_model.pb). Make one with `ctrkit export`.")
    if not (saved_model_dir / INDEX_IN_MODEL).is_dir():
        raise ArtifactError(
            f"The SavedModel {saved_model_dir} holds no feature index ({INDEX_IN_MODEL}), so it cannot read raw "
            "values. Make it with `ctrkit export`."
        )
    index = FeatureIndex.load(saved_model_dir / INDEX_IN_MODEL)
    if index.fingerprint != fingerprint:
        raise IndexMismatchError(
            f"The SavedModel {saved_model_dir} holds index {index.fingerprint}, but it was to be logged with index "
            f"{fingerprint}. Export the model of this run again with `ctrkit export`."
        )
    return index


def log_model(
    client: Any,
    run_id: str,
    *,
    path: str,
    fingerprint: str,
    name: str,
    step: int,
    metrics: dict[str, float],
    runtime: str | None,
) -> str:
    """Create a logged model of the run from the SavedModel at `path`; returns `models:/m-…`.

    Through the client alone: MLflow's fluent calls would change the process's active run and tracking URI.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
    from mlflow.models import Model

    index = check_export(Path(path), fingerprint)
    run = client.get_run(run_id)
    facts = {
        "ctrkit.index_fingerprint": fingerprint,
        "ctrkit.width": str(index.width),
        DIGEST: directory_checksum(path),
        SAVED_MODEL_AT: f"artifacts/{Path(path).name}",  # Where MLflow puts an artifact.
    }
    logged = client.create_logged_model(
        run.info.experiment_id, name=name, source_run_id=run_id, tags=facts, model_type="ctr"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="ctrkit-model-") as folder:
            local = Path(folder) / "model"
            mlflow.pyfunc.save_model(
                path=str(local),
                python_model=str(MODEL_CODE),
                artifacts={SAVED_MODEL: path},
                model_config={"runtime": runtime},
                pip_requirements=[f"{package}=={version}" for package, version in package_versions(REQUIRED).items()],
                metadata={"fingerprint": fingerprint, "columns": _columns(index)},
                mlflow_model=Model(run_id=run_id, model_uuid=logged.model_id, model_id=logged.model_id),
            )
            client.log_model_artifacts(logged.model_id, str(local))
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=step)])
        if metrics:
            now = run.info.start_time
            rows = [Metric(k, v, now, step, model_id=logged.model_id, run_id=run_id) for k, v in metrics.items()]
            client.log_batch(run_id, metrics=rows, synchronous=True)
    except BaseException:
        with contextlib.suppress(Exception):  # The store may be what failed.
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.FAILED)
        raise
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return f"models:/{logged.model_id}"


def _columns(index: FeatureIndex) -> list[str]:
    """Columns of a raw log that the model reads; label, weight, group and time are none of them."""
    from ctrkit.schema import column_of

    names = [column_of(field.feature) for field in index.fields]
    return list(dict.fromkeys(name for name in names if name is not None))
