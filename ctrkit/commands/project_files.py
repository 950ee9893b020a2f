"""Fill the templates of a new project in."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ctrkit.errors import ConfigError

TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "project"
STEPS = 100  # Of an epoch, at least, where the log has rows enough.
SMALLEST_BATCH, LARGEST_BATCH = 64, 4096  # Rows.
HELD_OUT = 0.2  # Share of the rows that is not trained on.


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the templates ask for."""

    name: str  # Of the experiment, the schema and the served model.
    title: str
    log: str  # As the experiment names it, from the project's folder.
    rows: int  # Of the log.
    by_time: bool  # The log tells when its rows happened.
    schema: str  # The text of its file.

    @property
    def batch_size(self) -> int:
        """A power of two that makes for `STEPS` steps an epoch."""
        largest = max(1, int(self.rows * (1 - HELD_OUT) / STEPS))
        return min(LARGEST_BATCH, max(SMALLEST_BATCH, 1 << (largest.bit_length() - 1)))

    def write(self, folder: Path) -> None:
        """Write all files below `folder`."""
        steps = max(1, round(self.rows * (1 - HELD_OUT) / self.batch_size))
        split = "{by: time} # The latest tenth of the rows is for test." if self.by_time else "{by: random}"
        values = {
            "name": self.name,
            "title": self.title,
            "log": json.dumps(self.log, ensure_ascii=False),  # YAML reads it as it is meant.
            "split": split,
            "batch_size": str(self.batch_size),
            "steps": f"{steps:,}",
        }
        for template in sorted(
            path for path in TEMPLATES.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ):
            place = str(template.relative_to(TEMPLATES)).replace("NAME", self.name).replace("dot_", ".")
            text = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template.read_text(encoding="utf-8"))
            _write(folder / place, text)
        _write(folder / "conf" / "schema" / f"{self.name}.yaml", self.schema)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def project_name(given: str) -> str:
    """A name that files, models and experiments may have.

    >>> project_name("My Shop-2")
    'my_shop_2'

    Raises `ConfigError` where nothing is left of it.
    """
    name = re.sub(r"[^a-z0-9]+", "_", given.lower()).strip("_")
    if not name or not name[0].isalpha():
        raise ConfigError(f"{given!r} gives no name: expected one that begins with a letter, e.g. shop.")
    return name


def path_from(folder: Path, log: str) -> str:
    """How the project names a log: relative where it lies beside or below the project, else absolute."""
    whole = os.path.abspath(log)
    beside = os.path.dirname(os.path.abspath(folder))
    return os.path.relpath(whole, folder) if whole.startswith(beside + os.sep) else whole
