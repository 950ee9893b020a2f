"""Tell one content of a directory from another by a SHA-256 over all its files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ONE_READ = 1 << 20  # Bytes.


def file_checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(ONE_READ):
            sha.update(chunk)
    return sha.hexdigest()


def directory_checksum(directory: str | os.PathLike[str]) -> str:
    """SHA-256 over the relative path and the content of every file below: the same for the same files anywhere.

    Empty directories do not count. Raises `OSError` for a file that cannot be read.
    """
    root, sha = Path(directory), hashlib.sha256()
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    for name in files:
        sha.update(f"{file_checksum(root / name)} {name}\n".encode())
    return sha.hexdigest()
