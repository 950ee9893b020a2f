"""Which files a data set was built from: their checksums are recorded the first time and compared from then on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ctrkit.atomic import write_json
from ctrkit.checksum import file_checksum
from ctrkit.datasets.catalogue import Entry
from ctrkit.datasets.sources import BUILT_FILE
from ctrkit.errors import ArtifactError
from ctrkit.progress import progress

SOURCES_FILE = "sources.json"
State = Literal["recorded", "same", "changed"]


def check_archives(entry: Entry, manual_dir: Path) -> list[str]:
    """Names of the downloaded archives in `manual_dir` whose checksum is known and right.

    Raises `ArtifactError` for one that is not what was published: a download that was cut, or another version.
    """
    right = []
    for archive in entry.archives:
        path = manual_dir / archive.name
        if archive.sha256 is None or not path.is_file():
            continue
        got = file_checksum(path)
        if got != archive.sha256:
            raise ArtifactError(
                f"{path} is not the published file: its SHA-256 is {got}, expected {archive.sha256}"
                + (f" ({path.stat().st_size:,} bytes, expected {archive.bytes:,})" if archive.bytes is not None else "")
                + f". Download it again{'' if archive.url is None else f' from {archive.url}'}."
            )
        right.append(archive.name)
    return right


def source_files(log: Sequence[Path]) -> list[Path]:
    """The files that a log was built from: those that its builder noted, or the log's own."""
    noted = log[0].parent / BUILT_FILE
    if noted.is_file():
        built = json.loads(noted.read_text(encoding="utf-8"))
        return [Path(path) for path, *_ in built.get("sources", [])]
    return list(log)


def record_sources(folder: Path, files: Sequence[Path]) -> dict[Path, tuple[str, State]]:
    """The SHA-256 of each file, and whether it is the one that `folder/sources.json` has; a new one is written there.

    A file of the size and time of change that were recorded is not read again.
    """
    path = folder / SOURCES_FILE
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    found: dict[Path, tuple[str, State]] = {}
    with progress("checksums", total=sum(file.stat().st_size for file in files), unit="bytes") as shown:
        for file in files:
            state, before = file.stat(), known.get(_key(file, files))
            size, changed_at = state.st_size, state.st_mtime_ns
            if before is not None and (before["bytes"], before["mtime_ns"]) == (size, changed_at):
                found[file] = before["sha256"], "same"
            else:
                sha = file_checksum(file)
                found[file] = sha, "recorded" if before is None else "same" if before["sha256"] == sha else "changed"
            known[_key(file, files)] = {"sha256": found[file][0], "bytes": size, "mtime_ns": changed_at}
            shown.advance(size)
    write_json(path, known)
    return found


def _key(file: Path, files: Sequence[Path]) -> str:
    """A file's name, with its folder's where another file has the same name."""
    same = sum(other.name == file.name for other in files)
    return file.name if same == 1 else f"{file.parent.name}/{file.name}"
