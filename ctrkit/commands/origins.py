"""Say where each value of a composed configuration came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from ctrkit.commands.layers import Layer, leaves

COMMAND_LINE = "command line"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who set a value."""

    written: Any  # As it stands there, e.g. `${seed}`.
    choice: str  # `training=local`, `config`, or `command line`.
    file: Path | None  # None for the command line.

    @property
    def interpolation(self) -> str | None:
        """The text that was resolved to the value; None for a value that was written out."""
        return self.written if isinstance(self.written, str) and "${" in self.written else None


def origins(layers: list[Layer], overrides: list[str], groups: list[str]) -> dict[tuple[str, ...], Origin]:
    """For the path of each value the last one who set it. `overrides` are the command line's words."""
    found: dict[tuple[str, ...], Origin] = {}
    for layer in layers:
        for path, value in leaves(layer.tree):
            _set(found, path, Origin(written=value, choice=layer.choice, file=layer.file))
    for override in OverridesParser.create().parse_overrides(overrides):
        path = tuple(override.key_or_group.split("."))
        if override.key_or_group in groups or path[0] == "hydra":
            continue
        if override.is_delete():
            for known in [known for known in found if known[: len(path)] == path]:
                del found[known]
            continue
        value = override.value()
        below = leaves(value, path) if isinstance(value, Mapping) and value else [(path, value)]
        for place, one in below:
            _set(found, place, Origin(written=one, choice=COMMAND_LINE, file=None))
    return found


def _set(found: dict[tuple[str, ...], Origin], path: tuple[str, ...], origin: Origin) -> None:
    below = [known for known in found if known[: len(path)] == path and known != path]
    if below and isinstance(origin.written, Mapping):
        return  # An empty mapping takes nothing away.
    for known in [*below, *(path[:length] for length in range(1, len(path)))]:
        found.pop(known, None)
    found[path] = origin
