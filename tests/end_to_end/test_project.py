"""From nothing but a CSV log to a promoted, served model: the README's own words, in a fresh folder."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ctrkit.datasets import SyntheticLog, SyntheticOptions
from tests.end_to_end.conftest import CTRKIT

README = Path(__file__).resolve().parents[2] / "README.md"
TRIES = 3  # Of a promotion that only its latency keeps back, as whatever else the machine does may.
SECONDS = 280  # Bounds a command that hangs; none takes a tenth of it on a machine of its own.


def commands() -> list[list[str]]:
    """The words of the first block under "A project of your own"."""
    section = README.read_text().split("\n## A project of your own\n")[1].split("\n## ")[0]
    block = re.search(r"```bash\n(.*?)```", section, flags=re.S)
    assert block is not None
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    assert words[0] == "ctrkit"
    return subprocess.run(
        [*CTRKIT, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_there_are_at_most_six_commands() -> None:
    assert 0 < len(commands()) <= 6


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the first command lays out."""
    folder = tmp_path_factory.mktemp("fresh")
    SyntheticLog(SyntheticOptions(rows=16_000, users=400, ads=100)).write(folder / "clicks.csv")
    (folder / "truth.json").unlink(missing_ok=True)
    done = run(commands()[0], folder)
    assert done.returncode == 0, done.stderr
    return folder / "shop"


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_the_words_of_the_readme_lead_from_a_log_to_ranked_ads(shop: Path) -> None:
    _, change, train, promote, serve, rank = commands()
    assert change == ["cd", shop.name]
    done = run(train, shop)
    assert done.returncode == 0, done.stderr
    assert "next: ctrkit evaluate\n" in done.stdout  # No word about the experiment.
    assert promoted(promote, shop)["moved"] is True
    if not (is_free(8500) and is_free(8501)):
        pytest.skip("something else serves at the ports of the README's words")
    server = subprocess.Popen(
        [*CTRKIT, *serve[1:]], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert server.stdout is not None
        deadline = time.monotonic() + SECONDS
        for line in server.stdout:
            if "in another terminal: ctrkit rank" in line:
                break
            assert time.monotonic() < deadline
        assert server.poll() is None
        done = run(rank, shop)
        assert done.returncode == 0, done.stderr
        assert re.search(r"100 ads ranked by 127\.0\.0\.1:8500, version 1\b", done.stdout)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.wait()


def promoted(words: list[str], shop: Path) -> dict:  # type: ignore[type-arg]
    """What promotion.json says."""
    for _ in range(TRIES):
        done = run(words, shop)
        found = dict(json.loads(next(shop.glob("artifacts/shop/runs/*/promotion.json")).read_text()))
        if done.returncode == 0:
            return found
        failed = re.findall(r"^\s*(\w+)\s+failed", done.stdout, flags=re.M)
        assert failed == ["latency"], done.stdout + done.stderr
    raise AssertionError(f"not promoted: {found}")


@pytest.mark.slow
@pytest.mark.turn(0)
@pytest.mark.timeout(600)
def test_the_project_s_notebook_and_test_run_as_they_are(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop / "notebooks" / "explore.ipynb"
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(path.parent)}}).execute()
    pictures = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 3  # Learning curve, ROC, calibration.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=shop,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
