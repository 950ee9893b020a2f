"""Write the winner of a search as an experiment of the user's own, and never over what a person wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ctrkit.atomic import atomic_file
from ctrkit.commands.configuration import initialized, start_name

SUFFIX = "_tuned"
PACKAGE = "# @package _global_"
MARK = "# Written by `ctrkit tune`; it is replaced by the next search unless it is changed. sha256 "
# What an experiment is; where its artifacts lie, how it is tracked and how it was searched are no part of it.
PARTS = ("question", "schema", "data", "model", "training", "cluster", "export", "serving", "deployment", "seed")


def tuned_name(name: str) -> str:
    """Of the experiment that holds the winner of a search for `name`."""
    return name if name.endswith(SUFFIX) else f"{name}{SUFFIX}"


def experiment_text(config: DictConfig, *, name: str, comment: str, always: Iterable[str] = ()) -> str:
    """An experiment file that composes to `config`: the choices of its groups, and what differs from them.

    Args:
        config: with the winner's values.
        name: of the new experiment.
        comment: its first lines, without `#`.
        always: dotted keys that stand there even where nothing differs.
    """
    chosen = {
        str(group): str(choice)
        for group, choice in HydraConfig.get().runtime.choices.items()
        if group in PARTS and choice is not None
    }
    with initialized():
        plain_start = hydra.compose(start_name(), overrides=["~experiment"], return_hydra_config=True)
        defaults = plain_start.hydra.runtime.choices
        base = hydra.compose(
            start_name(), overrides=["~experiment", *(f"{group}={choice}" for group, choice in chosen.items())]
        )
    overridden = [
        {f"override /{group}": choice} for group, choice in chosen.items() if str(defaults.get(group)) != choice
    ]
    changed = {part: value for part in PARTS if (value := _difference(base, config, part)) is not _SAME}
    for key in always:
        _put(changed, key.split("."), OmegaConf.select(config, key))
    body = {**({"defaults": overridden} if overridden else {}), "name": name, **changed}
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=110)
    return "\n".join([*(f"# {line}" for line in comment.splitlines()), text])


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    *above, last = path
    for part in above:
        tree = tree.setdefault(part, {})
    tree[last] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def write_experiment(folder: Path, name: str, text: str, *, force: bool) -> Path | None:
    """Write `folder`/NAME.yaml; None when one is there that a person wrote or changed, and `force` is not set."""
    path = folder / f"{name}.yaml"
    if path.exists() and not force and not is_untouched(path):
        return None
    with atomic_file(path) as temporary:
        temporary.write_text(signed(text), encoding="utf-8")
    return path


def signed(text: str) -> str:
    """The file's content, with a mark by which a later change is noticed."""
    return f"{PACKAGE}\n{MARK}{_digest(text)}\n{text}"


def is_untouched(path: Path) -> bool:
    """Whether the file is as a search wrote it."""
    package, _, rest = path.read_text(encoding="utf-8").partition("\n")
    mark, _, text = rest.partition("\n")
    return package == PACKAGE and mark == f"{MARK}{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_SAME = object()


def _difference(base: DictConfig, config: DictConfig, part: str) -> Any:
    return difference(*(_written(one, part) for one in (base, config)))


def _written(config: DictConfig, part: str) -> Any:
    """A part as it was written, with `${…}` where it says so."""
    node = config._get_node(part) if part in config else None
    if OmegaConf.is_config(node):
        return OmegaConf.to_container(node, resolve=False)
    return None if node is None else node._value()


def difference(before: Any, after: Any) -> Any:
    """What of `after` is not in `before`, mapping by mapping; `_SAME` when nothing is.

    >>> difference({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}})
    {'b': {'d': 4}}
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found = {key: difference(before.get(key, _SAME), value) for key, value in after.items()}
        found = {key: value for key, value in found.items() if value is not _SAME}
        return found or _SAME
    return _SAME if type(before) is type(after) and before == after else after
