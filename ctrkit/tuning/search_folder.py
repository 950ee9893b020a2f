"""The folder of a search: which one a command means, and what it began with."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctrkit.atomic import write_json
from ctrkit.errors import ArtifactError, ConfigError

FOLDER = "tuning"  # In the experiment's.
SEARCH_FILE = "search.json"
NEW = "new"


def choose_folder(parent: Path, identity: Mapping[str, Any], *, name: str | None, method: str) -> Path:
    """The search that `name` names; without a name the latest with the same identity, else a new one.

    Args:
        parent: folder of searches.
        identity: what must be the same for a search to go on, as plain values.
        name: of the folder; `new` for a fresh one.
        method: begins a new folder's name.
    Raises:
        ConfigError: the named search began with something else.
    """
    if name is not None and name != NEW:
        folder = parent / name
        before = read_identity(folder)
        if before is not None and before != _plain(identity):
            changed = ", ".join(sorted(_changes(before, _plain(identity)))[:6])
            raise ConfigError(
                f"Search {name!r} began with other settings ({changed}). Type those, or another tuning.name."
            )
        return folder
    if name is None:
        for folder in sorted((file.parent for file in parent.glob(f"*/{SEARCH_FILE}")), reverse=True):
            if read_identity(folder) == _plain(identity):
                return folder
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder, number = parent / f"{stamp}-{method}", 1
    while folder.exists():
        number += 1
        folder = parent / f"{stamp}-{number}-{method}"
    return folder


def begin(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write down what the search begins with, unless it has begun."""
    if not (folder / SEARCH_FILE).exists():
        write_json(folder / SEARCH_FILE, {"began": time.time(), "identity": _plain(identity)})


def read_identity(folder: Path) -> dict[str, Any] | None:
    """What the search began with; None when there is none. Raises `ArtifactError` when it cannot be read."""
    try:
        return dict(json.loads((folder / SEARCH_FILE).read_text(encoding="utf-8"))["identity"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"Cannot read {folder / SEARCH_FILE}: {error}. Type tuning.name=new.") from error


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _changes(before: Any, after: Any, above: str = "") -> list[str]:
    """Dotted keys whose values differ."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [above] if before != after else []
    return [
        change
        for key in {*before, *after}
        for change in _changes(before.get(key), after.get(key), f"{above}.{key}" if above else str(key))
    ]
