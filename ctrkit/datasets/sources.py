"""Build a data set's log once: find its source files, and know when what was built is still what they say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ctrkit.atomic import atomic_directory, write_json
from ctrkit.datasets.catalogue import Entry
from ctrkit.errors import ArtifactError, LogError

BUILT_FILE = "built.json"
BUILD_VERSION = 1  # Raise it when a builder's output changes for the same sources and options.


def find_source(
    source: str | os.PathLike[str], names: Sequence[str], *, download: str, inside: Sequence[str] = ()
) -> Path:
    """The first of `names` (each also with or without `.gz`) that lies in the folder `source`, or in one of `inside`.

    Raises `ArtifactError` that says where the data can be downloaded.
    """
    folder = Path(source)
    for name in names:
        for below in (folder, *(folder / one for one in inside)):
            for path in (below / name, below / f"{name}.gz", below / name.removesuffix(".gz")):
                if path.is_file():
                    return path
    state = "has no" if folder.is_dir() else "is no folder, expected one with"
    packed = [path.name for path in sorted(folder.glob("*.zip"))] if folder.is_dir() else []
    raise ArtifactError(
        f"{folder} (from {Path.cwd()}) {state} {' or '.join(names)} (plain or .gz). "
        + (f"Unpack {' and '.join(packed)} there, or download it" if packed else "Download it")
        + f" from {download}, unpack it, and name its folder: data.manual_dir=FOLDER (source=FOLDER in Python)."
    )


def find_file(entry: Entry, place: int, source: str | os.PathLike[str]) -> Path:
    """The file of a data set of the catalogue that is listed at `place`. Raises `ArtifactError` as `find_source`."""
    file = entry.files[place]
    return find_source(source, file.names, download=f"{entry.homepage} ({entry.download})", inside=entry.folders)


def built_log(
    name: str,
    out: str | os.PathLike[str],
    *,
    file_name: str,
    options: dict[str, Any],
    sources: Sequence[Path],
    write: Callable[[Path], None],
) -> Path:
    """Let `write` fill the folder `out`, unless it was built from the same sources with the same options before.

    Returns `out / file_name`. The folder is seen whole or not at all. Raises `ArtifactError` when `out` holds other
    things: it is never cleared of files that no builder made.
    """
    out = Path(out)
    log = out / file_name
    wanted = {
        "dataset": name,
        "version": BUILD_VERSION,
        "options": options,
        "sources": [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in sources],
    }
    built = _read(out / BUILT_FILE)
    if built is not None and log.is_file() and built == {**wanted, "bytes": log.stat().st_size}:
        return log
    if built is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} exists and was not built by ctrkit. Remove it, or name another folder: out=FOLDER.")
    with atomic_directory(out) as folder:
        write(folder)
        write_json(folder / BUILT_FILE, {**wanted, "bytes": (folder / file_name).stat().st_size})
    return log


def undecodable(path: Path, error: Exception) -> LogError:
    """An error for a source file that is not what its name says."""
    return LogError(f"{path} cannot be read: {error}. Download it again.")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
