"""The error for a log without rows, whichever engine found it so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctrkit.errors import LogError
from ctrkit.schema import Schema
from ctrkit.schema.schema import TEXT_FORMATS


def empty_log(schema: Schema, files: Sequence[Path]) -> LogError:
    """Says which files, and whether they hold a line of names."""
    total = sum(path.stat().st_size for path in files)
    names = ", ".join(str(path) for path in files[:3]) + (", …" if len(files) > 3 else "")
    header = total > 0 and schema.format.kind in TEXT_FORMATS
    return LogError(
        f"The log is empty: {names} {'has no rows' if total else 'has no bytes'}"
        + (" after the line of column names. " if header and schema.format.columns is None else ". ")
        + "Check the path, and the step that wrote it."
    )
