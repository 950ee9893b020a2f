"""`ctrkit config`: the resolved configuration, and where each value came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ctrkit.commands.configuration import initialized, load_config, start_name
from ctrkit.commands.console import say
from ctrkit.commands.known_keys import nearest_key
from ctrkit.commands.layers import Layer, composed_layers
from ctrkit.commands.main import config_folder, groups
from ctrkit.commands.origins import COMMAND_LINE, Origin, origins
from ctrkit.commands.own_words import own_words
from ctrkit.commands.workspace import SECRET_KEYS
from ctrkit.errors import ConfigError

FORMATS = ("text", "json")
WIDEST_VALUE = 48  # Characters of a value that the text shows.


def run(arguments: list[str]) -> None:
    """Print it, as text for people or as JSON for tools."""
    given, parts, overrides = own_words(arguments, {"format": FORMATS})
    config = load_config(overrides)
    with initialized():
        layers = composed_layers(start_name(), overrides)
    found = origins(layers, overrides, groups())
    values = {path: (_value(config, path), origin) for path, origin in found.items() if _is_there(config, path)}
    shown = {path: one for path, one in values.items() if not parts or _within(path, parts)}
    _check_parts(parts, values)
    if given.get("format", "text") == "json":
        say(json.dumps({".".join(path): _entry(value, origin) for path, (value, origin) in shown.items()}, indent=2))
        return
    say(_sources(layers, overrides))
    say()
    say(_tree(shown))


def _is_there(config: Any, path: tuple[str, ...]) -> bool:
    """Not so for an option that the chosen model does not have."""
    node = config
    for key in path[:-1]:
        node = node._get_node(key) if OmegaConf.is_dict(node) else None
    return OmegaConf.is_dict(node) and node._get_node(path[-1]) is not None


def _value(config: Any, path: tuple[str, ...]) -> Any:
    """The resolved value; `???` where it has to be given yet."""
    node = config
    try:
        for key in path[:-1]:
            node = node[key]
        value = node._get_node(path[-1])
        if value is not None and value._is_missing():
            return "???"
        resolved = node[path[-1]]
    except OmegaConfBaseException:
        return "???"
    if any(secret in path[-1].lower() for secret in SECRET_KEYS) and resolved is not None:
        return "***"
    return OmegaConf.to_container(resolved, resolve=True) if OmegaConf.is_config(resolved) else resolved


def _within(path: tuple[str, ...], parts: list[str]) -> bool:
    return any(".".join((*path, "")).startswith(f"{part}.") for part in parts)


def _check_parts(parts: list[str], values: dict[tuple[str, ...], Any]) -> None:
    for part in parts:
        if not any(_within(path, [part]) for path in values):
            tree: dict[str, Any] = {}
            for path in values:
                node = tree
                for key in path[:-1]:
                    node = node.setdefault(key, {})
                node[path[-1]] = None
            raise ConfigError(f"The configuration has no part {part!r}.{nearest_key(tuple(part.split('.')), tree)}")


def _entry(value: Any, origin: Origin) -> dict[str, Any]:
    entry = {"value": value, "from": origin.choice, "file": None if origin.file is None else str(origin.file)}
    return entry if origin.interpolation is None else {**entry, "interpolation": origin.interpolation}


def _sources(layers: list[Layer], overrides: list[str]) -> str:
    rows = [(layer.choice, _short(layer)) for layer in layers]
    rows += [(COMMAND_LINE, " ".join(overrides))] if overrides else []
    width = max(len(choice) for choice, _ in rows)
    return "\n".join(["composed from, later ones override:", *(f"  {a:<{width}}  {b}" for a, b in rows)])


def _short(layer: Layer) -> str:
    if layer.own:
        return f"{layer.file.relative_to(config_folder().parent)} of ctrkit"
    return str(layer.file.relative_to(Path.cwd()) if layer.file.is_relative_to(Path.cwd()) else layer.file)


def _tree(values: dict[tuple[str, ...], tuple[Any, Origin]]) -> str:
    """The keys indented as in YAML, their values, and who set them."""
    rows: list[tuple[str, str, str]] = []
    before: tuple[str, ...] = ()
    for path in sorted(values, key=lambda path: _place(path, values)):
        value, origin = values[path]
        shared = next(
            (i for i, (a, b) in enumerate(zip(before, path, strict=False)) if a != b), min(map(len, (before, path)))
        )
        rows += [(f"{'  ' * depth}{path[depth]}:", "", "") for depth in range(shared, len(path) - 1)]
        source = origin.choice if origin.interpolation is None else f"{origin.choice}  {origin.interpolation}"
        rows.append((f"{'  ' * (len(path) - 1)}{path[-1]}:", _text(value), source))
        before = path[:-1]
    keys, texts = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    return "\n".join(f"{key:<{keys}}  {text:<{texts}}  {source}".rstrip() for key, text, source in rows)


def _place(path: tuple[str, ...], values: dict[tuple[str, ...], Any]) -> tuple[int, ...]:
    """Where a value stands: in the order in which keys came up, those of one mapping together."""
    order = list(values)
    return tuple(
        next(i for i, one in enumerate(order) if one[:depth] == path[:depth]) for depth in range(1, len(path) + 1)
    )


def _text(value: Any) -> str:
    text = (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("\n...\n").strip()
    )
    return text if len(text) <= WIDEST_VALUE else text[: WIDEST_VALUE - 1] + "…"
