"""Let one process at a time change a registered model's aliases, on one machine or on several."""

from __future__ import annotations

import contextlib
import os
import platform
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from ctrkit.errors import RegistryError, TrackingError
from ctrkit.lock import locked
from ctrkit.tracking.registry import Registry
from ctrkit.tracking.store import Refused

LOCK_TAG = "ctrkit.lock"
WAIT = 120.0  # Seconds for others to finish: what is done under the lock takes about one.
LOOK_EVERY = 0.1  # Seconds.
STALE_AFTER = 20.0  # Seconds in which a holder, which renews nothing, has long ended or was killed.
SETTLE = 0.5  # Seconds after which two that took the lock in the same moment see whose tag it is.


class _TakenError(Exception):
    """Another process of this machine holds the lock."""


@contextlib.contextmanager
def changing(registry: Registry, name: str) -> Iterator[None]:
    """Hold the lock of a registered model inside the block. Raises `RegistryError` when others hold it for too long.

    A file beside an SQLite store, which ends with the process; elsewhere a tag of the model, which other machines see,
    and which is passed over when it has not changed for `STALE_AFTER`. MLflow has no compare-and-set: whoever holds the
    lock looks again afterwards.
    """
    database = registry.location.database_file
    if database is not None:
        with _file_lock(database.with_name(f".{database.name}.{_slug(name)}.lock"), name):
            yield
    else:
        with _tag_lock(registry, name):
            yield


@contextlib.contextmanager
def _file_lock(path: Path, name: str) -> Iterator[None]:
    until = time.monotonic() + WAIT
    while True:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(path, _TakenError))
            except _TakenError as holder:
                if time.monotonic() > until:
                    raise _too_long(name, f"process {holder}") from None
            else:
                yield
                return
        time.sleep(LOOK_EVERY)


@contextlib.contextmanager
def _tag_lock(registry: Registry, name: str) -> Iterator[None]:
    mine = f"{uuid.uuid4().hex} {platform.node()} {os.getpid()}"
    began = seen_since = time.monotonic()
    seen: str | None = None
    while True:
        now, holder = time.monotonic(), registry.model(name).tags.get(LOCK_TAG)
        if holder != seen:
            seen, seen_since = holder, now
        if holder is None or now - seen_since > STALE_AFTER:
            try:
                registry.tag_model(name, {LOCK_TAG: mine})
            except Refused:  # Another's tag came in the same moment; or it is something else.
                if registry.model(name).tags.get(LOCK_TAG) in (None, holder):
                    raise
            time.sleep(SETTLE)
            if registry.model(name).tags.get(LOCK_TAG) == mine:
                break
        elif now - began > WAIT:
            raise _too_long(name, " on ".join(reversed(holder.split()[1:])))
        time.sleep(LOOK_EVERY)
    try:
        yield
    finally:
        with contextlib.suppress(TrackingError):  # It is passed over when it is stale.
            if registry.model(name).tags.get(LOCK_TAG) == mine:
                registry.tag_model(name, {LOCK_TAG: None})


def _too_long(name: str, holder: str) -> RegistryError:
    return RegistryError(
        f"The aliases of model {name} are being changed by {holder}, for more than {WAIT:g} s. Type the same command "
        "again when it has ended."
    )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
