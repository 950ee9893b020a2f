"""A small project whose runs several tests judge: the verbs run in this process, its store is a real MLflow server."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from ctrkit.commands.main import main

SMALL = (
    "experiment=quickstart",
    "data.build.rows=12000",
    "training.batch_size=256",
    "training.epochs=1",
    "model.hidden=[16]",
    "model.dim=4",
)


@dataclass(frozen=True)
class Answer:
    """What a verb said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class JudgedRuns:
    """A folder in which verbs are typed."""

    folder: Path
    uri: str

    def ctrkit(self, verb: str, *words: str, small: bool = True, check: bool = True) -> Answer:
        """Run a verb to its end, in this process."""
        out, err = io.StringIO(), io.StringIO()
        here = Path.cwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main([verb, *words, *(SMALL if small else ()), f"tracking.uri={self.uri}"])
        finally:
            os.chdir(here)
        answer = Answer(status, out.getvalue(), err.getvalue())
        assert not check or status == 0, answer
        return answer

    def run_dir(self, name: str) -> Path:
        """Where a run lies."""
        return self.folder / "artifacts" / "quickstart" / "runs" / name

    def names(self) -> list[str]:
        """All runs, oldest first."""
        folder = self.folder / "artifacts" / "quickstart" / "runs"
        return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []

    def newest_but(self, *names: str) -> str:
        """The one run that is none of `names`."""
        (name,) = set(self.names()) - set(names)
        return name
