"""Copies of registered versions in a folder of versions, as a server reads one: `NAME-STORE/3/saved_model.pb`."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

from ctrkit.atomic import TEMPORARY_MARK, atomic_directory
from ctrkit.errors import RegistryError
from ctrkit.tracking.registry import RegisteredVersion, Registry, check_digest

KEPT = 3  # Versions whose copies stay: the one served, the one before, one more.
KEPT_FOR = 24 * 3600.0  # Seconds since a copy was last asked for, by any process, before it may go.


def fetched_folder(root: str | os.PathLike[str], registry: Registry, name: str) -> Path:
    """The folder of a registered model's versions: versions of one number in two stores are two models."""
    store = hashlib.sha256(registry.location.uri.encode()).hexdigest()[:8]
    return Path(root) / "registry" / f"{name}-{store}"


def fetch(registry: Registry, version: RegisteredVersion, folder: Path) -> Path:
    """The copy of a version's SavedModel in `folder`, made now where it is not there yet.

    It appears whole and compared with its checksum, or not at all. Raises `RegistryError` for files that are gone or
    are not those that were registered, `Unreachable`.
    """
    path = folder / str(version.version)
    if path.is_dir():
        try:
            check_digest(version, path)
        except RegistryError:  # Somebody changed the copy.
            pass
        else:
            os.utime(path)
            return path
    with atomic_directory(path) as temporary:
        incoming = folder / f".{path.name}{TEMPORARY_MARK}{os.getpid()}-download"
        try:
            incoming.mkdir(parents=True, exist_ok=True)
            found = registry.download(version, incoming)
            check_digest(version, found)
            temporary.rmdir()
            found.rename(temporary)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    return path


def tidy(folder: Path) -> None:
    """Remove copies that nobody asked for in a day, but for the last three."""
    copies = sorted(
        (path for path in folder.glob("[0-9]*") if path.name.isdigit()), key=lambda path: -path.stat().st_mtime
    )
    for path in copies[KEPT:]:
        if time.time() - path.stat().st_mtime > KEPT_FOR:
            shutil.rmtree(path, ignore_errors=True)
