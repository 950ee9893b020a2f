"""Which index a later log extends, such that an extension that was killed is begun again from the same one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from ctrkit.atomic import atomic_directory
from ctrkit.errors import ArtifactError
from ctrkit.indexing import FeatureIndex
from ctrkit.records.engine import INDEX

EXTENDED_FROM = "extended_from"  # A copy of the index that lay in the folder before it was extended in its place.

Extend: TypeAlias = FeatureIndex | str | os.PathLike[str] | bool | None
"""An index, its folder or the folder that was prepared with it; True: the one that lies in the folder itself."""


def is_own(extend: Extend, work_dir: Path) -> bool:
    """Whether the index to extend is the one that lies in `work_dir`, and makes way for the extended one."""
    if extend is None or isinstance(extend, (bool, FeatureIndex)):
        return bool(extend) and not isinstance(extend, FeatureIndex)
    return index_folder(Path(extend)).resolve() == (work_dir / INDEX).resolve()


def index_folder(path: Path) -> Path:
    """The folder of an index, given itself or the folder that was prepared with it."""
    return path / INDEX if (path / INDEX / "index.json").is_file() else path


def own_parent(work_dir: Path, *, prepared: bool, again: str | None) -> FeatureIndex:
    """The index to extend in its place, copied to where the extension does not replace it.

    Args:
      work_dir: the folder whose index is meant.
      prepared: whether what lies there is whole; else an extension was cut off, and the copy is the parent.
      again: fingerprint of the parent of what lies there, where the same extension is to be done again.
    Raises:
      ArtifactError: there is no index.
    """
    copy = work_dir / EXTENDED_FROM
    kept = FeatureIndex.load(copy) if copy.is_dir() else None
    if kept is not None and (not prepared or kept.fingerprint == again):
        return kept
    if not prepared:
        raise ArtifactError(
            f"{work_dir} has no whole index to extend. Prepare the first log without --extend, or name the folder of "
            "an index: data.extend=PATH."
        )
    with atomic_directory(copy) as temporary:
        shutil.copytree(work_dir / INDEX, temporary, dirs_exist_ok=True, copy_function=_link_or_copy)
    return FeatureIndex.load(copy)


def forget(work_dir: Path, move: Callable[[Path], object]) -> None:
    """Let go of the copy: what replaces the folder's content extends nothing that lay there."""
    if (work_dir / EXTENDED_FROM).is_dir():
        move(work_dir / EXTENDED_FROM)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
