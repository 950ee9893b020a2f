"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


# Their tests take most of a minute each and share little: the first to begin, wherever there is room.
LONG = (
    "commands/test_tune_killed.py",
    "end_to_end/test_notebooks.py",
    "end_to_end/test_project.py",
    "training/cluster/test_cluster_runs.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a file goes to one process, so that its fixtures are made once; long tests go singly."""
    if not getattr(config.option, "loadgroup", False):
        return
    root = Path(__file__).parent
    for item in items:
        file = item.path.relative_to(root).as_posix()
        if file not in LONG and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(file))
    items.sort(key=lambda item: item.path.relative_to(root).as_posix() not in LONG)  # Otherwise as they were.


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real logs that must not be redistributed; tests that need it are skipped where it is absent."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("CTRKIT_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real logs are not at {folder}; set CTRKIT_TEST_DATA to their folder")
    return folder
