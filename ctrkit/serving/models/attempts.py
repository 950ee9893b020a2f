"""When a version that is not loaded is tried, and when one that failed is tried again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ctrkit.errors import ConfigError, CtrkitError
from ctrkit.serving.models.folder import Stamp


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for files, and how often to try."""

    settle: float = 1.0  # Seconds without a write before a folder that appears is loaded.
    retries: int = 5  # Of a version that failed and whose files stay the same, as TensorFlow Serving.
    retry_every: float = 60.0  # Seconds between those.

    def __post_init__(self) -> None:
        for name in ("settle", "retries", "retry_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` is {getattr(self, name)}, expected 0 or more.")


@dataclass(frozen=True)
class Failure:
    """A version that could not be loaded."""

    stamp: Stamp  # The files that failed.
    error: CtrkitError
    tries: int  # With these files.
    at: float  # Monotonic seconds.


class Attempts:
    """What is known of one model's versions that are not loaded."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failures: dict[int, Failure] = {}
        self._seen: dict[int, tuple[Stamp, float]] = {}  # The files, and since when they are the same.

    def is_due(self, version: int, path: Path) -> bool:
        """Whether to load a version now: its files are whole, by all that can be seen, and did not fail already."""
        stamp, now = Stamp.of(path), time.monotonic()
        failure = self._failures.get(version)
        if failure is not None and failure.stamp == stamp:
            return failure.tries <= self._patience.retries and now - failure.at >= self._patience.retry_every
        if stamp.is_quiet(self._patience.settle):
            return True
        seen, since = self._seen.get(version, (None, now))
        self._seen[version] = (stamp, since if seen == stamp else now)
        return seen == stamp and now - since >= self._patience.settle

    def failed(self, version: int, stamp: Stamp, error: CtrkitError) -> bool:
        """Note a failure; returns whether it is news."""
        before = self._failures.get(version)
        again = before is not None and before.stamp == stamp
        tries = before.tries + 1 if before is not None and again else 1
        self._failures[version] = Failure(stamp, error, tries, time.monotonic())
        return not again or before is None or str(before.error) != str(error)

    def succeeded(self, version: int) -> None:
        """Forget what went before."""
        self._failures.pop(version, None)
        self._seen.pop(version, None)

    def keep(self, versions: Collection[int]) -> None:
        """Forget versions that are no longer there."""
        for known in (self._failures, self._seen):
            for version in [version for version in known if version not in versions]:
                del known[version]

    def error(self, version: int) -> CtrkitError | None:
        """Why a version failed, if it did."""
        failure = self._failures.get(version)
        return None if failure is None else failure.error

    def newest_error(self) -> CtrkitError | None:
        """Why the newest version that failed did."""
        return self._failures[max(self._failures)].error if self._failures else None
