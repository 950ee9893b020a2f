"""`ctrkit export` with XLA measured and the files of TensorFlow Serving beside it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Project

pytestmark = pytest.mark.slow


def test_what_xla_measured_is_in_the_manifest_and_in_mlflow_and_the_files_are_written(
    trained: Project, project: Project
) -> None:
    shutil.copytree(trained.folder / "artifacts", project.folder / "artifacts")
    out = project.ctrkit("export", "export.xla=auto", "export.buckets=[1,50]", "deployment.with_export=true").stdout
    version = max((project.run_dir / "export").glob("[0-9]*"), key=lambda path: int(path.name))
    manifest = json.loads((version / "assets.extra" / "ctrkit.json").read_text())
    measured = manifest["xla"]["milliseconds"]
    assert set(measured) == {"serving_default", "rank", "named"}
    assert f"XLA compiles {', '.join(manifest['compiled']) or 'nothing'}" in out
    figures = {
        f"export.cpu_ms.{signature}.{rows}.{way}": value
        for signature, sizes in measured.items()
        for rows, both in sizes.items()
        for way, value in both.items()
    }
    assert len(figures) == 3 * 2 * 2
    assert logged(project.folder / "artifacts" / "mlflow.db") == pytest.approx(figures)
    files = {path.name for path in (project.run_dir / "deployment").iterdir()}
    assert files >= {"models.config", "docker-compose.yml", "kubernetes.yaml"}
    assert "allowed_batch_sizes: 50" in (project.run_dir / "deployment" / "batching.config").read_text()


def logged(store: Path) -> dict[str, float]:
    """The export's figures in MLflow's database."""
    with sqlite3.connect(store) as database:
        return dict(database.execute("select key, value from latest_metrics where key like 'export.cpu_ms.%'"))
