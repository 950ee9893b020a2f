"""Keep two processes out of one folder; the lock ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def locked(path: Path, taken: Callable[[str], Exception]) -> Iterator[None]:
    """Hold the lock file `path` inside the block, and delete it afterwards.

    Where another process holds it, raises `taken(its pid)`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                raise taken(file.read().strip() or "unknown") from None
            if not _is(file, path):
                continue  # Whoever held it deleted it meanwhile.
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is(file: TextIO, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
