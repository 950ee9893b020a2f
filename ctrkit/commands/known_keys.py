"""Tell a mistyped key, on the command line or in a user's file, from one that something reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctrkit.commands.layers import Layer, leaves, read_layer
from ctrkit.errors import ConfigError, did_you_mean, nearest

MOST_PLACES = 3  # Beyond, a key's name alone tells too little of what was meant.
FREE = ("schema", "hydra")  # Checked by those who read them: `Schema` and Hydra.


def misfits(layers: list[Layer], before: list[Layer]) -> list[str]:
    """Options that an experiment sets for a model of its own, and that the model chosen in its place does not have.

    `before` are the layers without that choice.
    """
    chosen, own = (merge(one.tree["model"] for one in some if one.group == "model") for some in (layers, before))
    wanted = merge(one.tree["model"] for one in layers if one.group != "model" and "model" in one.tree)
    return [key for key in wanted if key not in chosen and key in own]


def check_files(layers: list[Layer], folder: Path, groups: list[str], skipped: Iterable[str] = ()) -> None:
    """Raise `ConfigError` for a key in a user's file, or in an experiment, that nothing reads.

    `folder` is ctrkit's own conf/, `skipped` are options of a model that was not chosen. Hydra adds such a key without
    a word: a mistyped `epoch: 3` would change nothing.
    """
    own = [read_layer(folder / "config.yaml", "")] + [
        read_layer(file, group)
        for group in groups
        if group not in ("experiment", *FREE)
        for file in sorted((folder / group).glob("*.yaml"))
    ]
    for layer in layers:
        if layer.own and layer.group != "experiment":
            continue
        others = [one for one in layers if one is not layer and one.group not in ("", "experiment")]
        models = own if layer.group == "model" else others
        _check_layer(layer, merge(one.tree for one in own + others), models, free=[("model", key) for key in skipped])


def _check_layer(
    layer: Layer, known: dict[str, Any], models: list[Layer], *, free: Sequence[tuple[str, str]] = ()
) -> None:
    for path, _ in leaves(layer.tree):
        if path[0] in FREE or path[:2] in (("manifest", "resources"), *free):
            continue
        tree = known
        if path[0] == "model":
            model = _model(layer, models)
            if model is None:
                continue
            tree = {**known, "model": model}
        if path[:2] == ("data", "build") and "_target_" in (layer.tree["data"].get("build") or {}):
            continue  # A function of the user's own: `make` says which options it has.
        wrong = first_unknown(path, tree)
        if wrong is not None:
            raise ConfigError(f"{layer.file}: no key {'.'.join(path[: wrong + 1])!r}.{nearest_key(path, tree)}")


def _model(layer: Layer, models: list[Layer]) -> dict[str, Any] | None:
    """The options of the model that a layer's options are for; None where only the model itself knows them."""
    target = layer.tree["model"].get("_target_")
    trees = [one.tree["model"] for one in models if one.group == "model"]
    if target is not None:
        trees = [tree for tree in trees if tree.get("_target_") == target]
    return merge(trees) if trees else None


def merge(trees: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All keys of all trees."""
    merged: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            old = merged.get(str(key))
            if isinstance(value, Mapping):
                merged[str(key)] = merge([old if isinstance(old, Mapping) else {}, value])
            elif not isinstance(old, Mapping):
                merged[str(key)] = value
    return merged


def first_unknown(path: tuple[str, ...], known: Mapping[str, Any]) -> int | None:
    """The place in `path` of the first key that `known` lacks; below a value or `{}` anything may be."""
    tree: Any = known
    for place, key in enumerate(path):
        if not isinstance(tree, Mapping) or (place > 0 and not tree):
            return None
        if key not in tree:
            return place
        tree = tree[key]
    return None


def nearest_key(path: tuple[str, ...], known: Mapping[str, Any]) -> str:
    """`" Did you mean 'training.epochs'?"`: every part mended, or the same name elsewhere, or what is valid there."""
    mended: list[str] = []
    tree: Any = known
    for key in path:
        if not isinstance(tree, Mapping) or not tree:
            mended.append(key)
            continue
        if key not in tree:
            near = nearest(key, tree)
            if near is None:
                elsewhere = _elsewhere(key, known) if len(path) == 1 else ""
                return elsewhere or did_you_mean(key, [name for name in tree if name[0] != "_"])
            key = near
        mended.append(key)
        tree = tree[key]
    return f" Did you mean {'.'.join(mended)!r}?"


def _elsewhere(name: str, known: Mapping[str, Any]) -> str:
    """A key of this name, or of one like it, in another place."""
    places: dict[str, list[str]] = {}
    for path, _ in leaves(known):
        places.setdefault(path[-1], []).append(".".join(path))
    same = name if name in places else nearest(name, places)
    found = places.get(str(same), [])
    return f" Did you mean {' or '.join(map(repr, found))}?" if 0 < len(found) <= MOST_PLACES else ""
