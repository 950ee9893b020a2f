"""Every notebook runs from top to bottom on small data and shows its pictures."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
PICTURES = {  # How many each shows.
    "quickstart": 3,
    "own_model": 4,
    "parameter_servers": 3,
    "rank_from_a_client": 2,
    "tune_and_promote": 3,
}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTRKIT_NOTEBOOK_ROWS", "40000")
    monkeypatch.setenv("CTRKIT_NOTEBOOK_TRIALS", "3")
    monkeypatch.setenv("CTRKIT_NOTEBOOK_DIR", str(tmp_path / "artifacts"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), (
        f"clear the outputs of {path.name} before committing"
    )
    NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {}) or "image/svg+xml" in output.get("data", {})
    ]
    assert len(pictures) == PICTURES[path.stem]
