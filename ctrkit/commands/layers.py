"""The files that a configuration is composed from, in the order in which they override each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

OWN = "main"  # What Hydra calls the search path of the folder it was started with: ctrkit's own conf/.


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One file's part of the configuration."""

    choice: str  # `training=local`, or `config` for a file outside of the groups.
    file: Path
    own: bool  # Of ctrkit, not of the user.
    tree: dict[str, Any]  # What it sets, from the root of the configuration; interpolations as they are written.

    @property
    def group(self) -> str:
        """Of its choice; empty outside of the groups."""
        return self.choice.partition("=")[0] if "=" in self.choice else ""


def composed_layers(config_name: str, overrides: list[str]) -> list[Layer]:
    """What the overrides compose, the last word last. Hydra has to be initialized."""
    loader = GlobalHydra.instance().config_loader()
    chosen = loader.compute_defaults_list(config_name, overrides, RunMode.RUN).defaults  # type: ignore[attr-defined]
    return [
        _layer(loader, str(one.config_path), str(one.package or ""))
        for one in chosen
        if one.config_path is not None and not one.config_path.startswith("hydra/")
    ]


def _layer(loader: ConfigLoader, path: str, package: str) -> Layer:
    for source in loader.get_sources():
        if source.scheme() == "file" and source.is_config(path):
            config = source.load_config(path).config
            content: dict[str, Any] = dict(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
            content.pop("defaults", None)
            content.pop("hydra", None)
            group, _, name = path.rpartition("/")
            return Layer(
                choice=f"{group}={name}" if group else name,
                file=Path(source.path) / f"{path}.yaml",
                own=source.provider == OWN,
                tree=_below(package, content),
            )
    raise FileNotFoundError(path)  # Hydra has found it already.


def read_layer(file: Path, group: str) -> Layer:
    """A file of ctrkit's own as a layer, whether or not it is chosen; `group` is empty outside of the groups."""
    text = file.read_text(encoding="utf-8")
    content = yaml.safe_load(text) or {}
    content.pop("defaults", None)
    content.pop("hydra", None)
    package = "" if text.startswith("# @package _global_") else group
    choice = f"{group}={file.stem}" if group else file.stem
    return Layer(choice=choice, file=file, own=True, tree=_below(package, content))


def _below(package: str, content: dict[str, Any]) -> dict[str, Any]:
    for part in reversed(package.split(".") if package else []):
        content = {part: content}
    return content


def leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of everything that is no mapping, or an empty one."""
    for key, value in tree.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value
