"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


# These take minutes each: the first to begin, so that none is left over at the end.
LONG = (
    "training/cluster/test_cluster_runs.py",
    "end_to_end/test_notebooks.py",
    "commands/test_tune_killed.py",
    "end_to_end/test_promotion.py",
    "end_to_end/test_verbs.py",
    "end_to_end/test_export_options.py",
)


# Files that share what is trained once a process go to the same one.
TOGETHER = {"end_to_end/test_export_options.py": "end_to_end/test_verbs.py"}
TURNS = 4  # Of them one is CTRKIT_TURN, any number.


def turn_of(item: pytest.Item) -> int | None:
    """Which turn a test takes; None: each."""
    mark = item.get_closest_marker("turn")
    if mark is None:
        return None
    if mark.args not in [(n,) for n in range(TURNS)]:
        raise pytest.UsageError(f"{item.nodeid}: turn{mark.args}, expected a number from 0 to {TURNS - 1}.")
    return int(mark.args[0])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose turn it is not, and begin with the long files."""
    now = os.environ.get("CTRKIT_TURN", "all")
    waiting = {item for item in items if now != "all" and turn_of(item) not in (None, int(now) % TURNS)}
    if waiting:
        config.hook.pytest_deselected(items=list(waiting))
        items[:] = [item for item in items if item not in waiting]
    order = {file: place for place, file in enumerate(LONG)}
    file_of = {item: item.path.relative_to(Path(__file__).parent).as_posix() for item in items}
    items.sort(key=lambda item: order.get(file_of[item], len(LONG)))  # Otherwise as they were.


class _ByFile(LoadFileScheduling):
    """All tests of a file, and of those that share its fixtures, in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        for one, other in TOGETHER.items():
            file = file.replace(one, other)
        return file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Take the place of xdist's `--dist loadfile`."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real logs that must not be redistributed; tests that need it are skipped where it is absent."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("CTRKIT_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real logs are not at {folder}; set CTRKIT_TEST_DATA to their folder")
    return folder
