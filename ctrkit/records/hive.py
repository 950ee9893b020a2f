"""Files in folders `key=value`, as Hive and Spark partition a table: the folders' names are columns of the files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # Hive's name for null.


def files_below(folder: Path) -> list[Path]:
    """The files of a folder by name, then those of its folders `key=value`, by value: numbers in their order.

    Names that begin with `.` or `_` are markers such as _SUCCESS and left out.
    """
    entries = sorted(path for path in folder.iterdir() if path.name[0] not in "._")
    files = [path for path in entries if path.is_file()]
    partitions = [path for path in entries if path.is_dir() and "=" in path.name]
    for partition in sorted(partitions, key=_order):
        files += files_below(partition)
    return files


def partition_of(path: Path) -> dict[str, str | None]:
    """The columns that the folders above a file tell.

    >>> partition_of(Path("table/day=2024-01-31/country=C%2FD/part-0.parquet"))
    {'day': '2024-01-31', 'country': 'C/D'}
    """
    pairs = (part.split("=", 1) for part in path.parent.parts if "=" in part)
    return {unquote(name): None if value == NO_VALUE else unquote(value) for name, value in pairs}


def repeated(value: str | None, rows: int) -> pa.Array:
    """A column of one text, or of nulls."""
    if value is None:
        return pa.nulls(rows, pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([value], pa.string()))


def _order(folder: Path) -> tuple[str, int, float, str]:
    name, value = folder.name.split("=", 1)
    try:
        return name, 0, float(value), value
    except ValueError:
        return name, 1, 0.0, value
