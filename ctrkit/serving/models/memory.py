"""Give the memory of an unloaded version back to the operating system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's; None where the C library has none (macOS, musl)."""
    try:
        return ctypes.CDLL(None).malloc_trim  # type: ignore[no-any-return]
    except (OSError, AttributeError):
        return None


def trim() -> None:
    """Ask the C library for its free pages back; other threads go on (the GIL is released)."""
    found = _malloc_trim()
    if found is not None:
        found(0)
