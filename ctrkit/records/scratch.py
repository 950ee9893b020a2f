"""The folder where an engine works: kept when it is killed, so that the next run of the same inputs goes on there."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from ctrkit.atomic import TEMPORARY_MARK, write_json
from ctrkit.errors import ArtifactError
from ctrkit.indexing import FeatureIndex
from ctrkit.records.engine import INDEX, RECORDS
from ctrkit.records.manifest import Manifest
from ctrkit.records.split import PARTS

_FINISHED = "finished.json"  # Index and records are whole; they may be in their places already.


@contextlib.contextmanager
def scratch(work_dir: Path, key: str, *, anew: bool) -> Iterator[Path]:
    """A folder in `work_dir` that is gone afterwards, unless the process is killed or interrupted.

    It is the one that a process with the same `key` left; others are removed, with `anew` that one as well. The caller
    holds the lock of `work_dir`.
    """
    folder = work_dir / f".prepare{TEMPORARY_MARK}{key}"
    remove_scratch(work_dir, but=None if anew else folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except Exception:
        shutil.rmtree(folder, ignore_errors=True)  # The next run would come to the same.
        raise
    shutil.rmtree(folder, ignore_errors=True)


def remove_scratch(work_dir: Path, *, but: Path | None = None) -> None:
    """Delete what killed processes left in `work_dir`; the caller holds its lock."""
    for left in work_dir.glob(f".prepare{TEMPORARY_MARK}*"):
        if left != but:
            shutil.rmtree(left, ignore_errors=True)


def finish(folder: Path) -> None:
    """Note that index and records in `folder` are whole."""
    rows = {part: Manifest.load(folder / RECORDS / part).rows for part in PARTS if (folder / RECORDS / part).exists()}
    fingerprint = FeatureIndex.load(folder / INDEX, verify=False).fingerprint
    write_json(folder / _FINISHED, {"fingerprint": fingerprint, "rows": rows})


def is_finished(folder: Path, work_dir: Path) -> bool:
    """Whether a killed process finished in `folder`, and may have begun to put in place what it made."""
    try:
        told = json.loads((folder / _FINISHED).read_text(encoding="utf-8"))
        index, records = ((folder if (folder / name).exists() else work_dir) / name for name in (INDEX, RECORDS))
        rows = {part: Manifest.load(records / part).rows for part in told["rows"]}
        return told == {"fingerprint": FeatureIndex.load(index, verify=False).fingerprint, "rows": rows}
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        (folder / _FINISHED).unlink(missing_ok=True)
        return False


def put_in_place(folder: Path, work_dir: Path, prepared_file: str) -> None:
    """Replace the old index and records; killed between, it may be called again.

    Without `prepared_file` in between nobody takes the mixture for whole.
    """
    (work_dir / prepared_file).unlink(missing_ok=True)
    for name in (INDEX, RECORDS):
        if not (folder / name).exists():
            continue  # It is in its place.
        if (work_dir / name).exists():
            (work_dir / name).rename(folder / f"old-{name}")
        (folder / name).rename(work_dir / name)
