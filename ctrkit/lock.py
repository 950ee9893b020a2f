"""Keep two processes out of one folder; the lock ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from os import getpid
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, taken: Callable[[str], Exception]) -> Iterator[None]:
    """Hold the lock file `path` inside the block.

    Where another process holds it, raises `taken(its pid)`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise taken(file.read().strip() or "unknown") from None
        file.truncate(0)
        file.write(str(getpid()))
        file.flush()
        yield
