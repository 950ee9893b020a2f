"""A small project on disk in which the verbs run as a person types them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CTRKIT = [sys.executable, "-m", "ctrkit.commands.main"]
SMALL = ["experiment=quickstart", "data.build.rows=40000", "training.batch_size=512", "model.hidden=[32,16]"]


@dataclass(frozen=True)
class Project:
    """A folder with artifacts in it."""

    folder: Path

    def ctrkit(self, verb: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        done = self.bare(verb, *SMALL, *words)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def bare(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run exactly these words."""
        return subprocess.run(
            [*CTRKIT, *words], cwd=self.folder, capture_output=True, text=True, timeout=280, check=False
        )

    def start(self, verb: str, *words: str) -> subprocess.Popen[str]:
        """Start a verb and return at once."""
        return subprocess.Popen(
            [*CTRKIT, verb, *SMALL, *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def work(self) -> Path:
        return self.folder / "artifacts" / "quickstart"

    @property
    def run_dir(self) -> Path:
        return sorted((self.work / "runs").iterdir())[-1]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose log is prepared, trained on and exported."""
    project = Project(tmp_path_factory.mktemp("project"))
    for verb in ("train", "evaluate", "export"):
        project.ctrkit(verb)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)
