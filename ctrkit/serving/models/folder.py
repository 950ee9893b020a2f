"""Look at a model's folder: which versions lie there, and whether somebody is still writing one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ctrkit.serving.models.config import LARGEST_VERSION
from ctrkit.serving.versions import SAVED_MODEL_FILE


def numbered(base: Path) -> dict[int, Path]:
    """Version -> directory, the highest number first; other names are not versions. Raises `OSError`.

    `base` may be one version's directory itself.
    """
    if (base / SAVED_MODEL_FILE).is_file():
        return {int(base.name) if _is_version(base.name) else 1: base}
    found = {int(name): base / name for name in sorted(os.listdir(base)) if _is_version(name)}  # "1" wins over "01".
    return dict(sorted(found.items(), reverse=True))


def is_begun(path: Path) -> bool:
    """Whether a version's directory has its graph; without one somebody has only begun to copy it."""
    return (path / SAVED_MODEL_FILE).is_file()


def graph_stamp(path: Path) -> tuple[int, ...]:
    """What tells one graph file of a version from another without reading it; () when it is not there."""
    try:
        status = os.stat(path / SAVED_MODEL_FILE)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) <= LARGEST_VERSION


@dataclass(frozen=True)
class Stamp:
    """What tells one content of a directory from another without reading it."""

    files: tuple[tuple[str, int, int, int], ...]  # Name, bytes, modified, changed (ns).

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Look at every file of a directory. A file that goes away meanwhile is left out."""
        found = []
        for folder, _, names in os.walk(path):
            for name in names:
                file = os.path.join(folder, name)
                try:
                    status = os.stat(file)
                except OSError:
                    continue
                found.append((file, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        return cls(tuple(sorted(found)))

    def is_quiet(self, seconds: float) -> bool:
        """Whether nothing was written for so long, by this machine's clock.

        By the time of change: copying tools set the time of modification to that of the original.
        """
        newest = max((changed for *_, changed in self.files), default=0)
        return time.time() - newest / 1e9 >= seconds
