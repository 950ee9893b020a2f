"""Criteo's display advertising log: label, 13 integers and 26 categories, tab-separated, in the order of time."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from ctrkit.datasets.catalogue import CRITEO
from ctrkit.datasets.sources import find_file, undecodable
from ctrkit.errors import LogError

COLUMNS = ("label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27)))


def build(*, source: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Return the log in the folder `source`: it is read as it is, so nothing is written to `out`.

    Raises `ArtifactError` that says where to download the log, `LogError` when its first line has not 40 columns.
    """
    log = find_file(CRITEO, 0, source)
    try:
        with gzip.open(log, "rb") if log.suffix == ".gz" else open(log, "rb") as file:
            got = file.readline().count(b"\t") + 1
    except (OSError, EOFError) as error:
        raise undecodable(log, error) from error
    if got != len(COLUMNS):
        raise LogError(
            f"{log}: the first line has {got} tab-separated columns, expected {len(COLUMNS)}: label, I1-I13, C1-C26. "
            f"Get the training log again from {CRITEO.homepage} ({CRITEO.download}); the "
            "challenge's test log has no label."
        )
    return log
