"""Compose the configuration from `conf/`, the user's own `./conf` and the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ctrkit.commands.main import choices, config_folder
from ctrkit.errors import ConfigError, did_you_mean

HYDRA_VERSION_BASE = "1.3"


class UserConfigPath(SearchPathPlugin):
    """Search `./conf` after ctrkit's own configuration, so that a project adds its own choices."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folder = Path.cwd() / "conf"
        if folder.is_dir() and folder != config_folder():
            search_path.append("user", f"file://{folder}")


Plugins.instance().register(UserConfigPath)


def load_config(overrides: list[str]) -> DictConfig:
    """Return the composed configuration.

    Raises `ConfigError` with the reason and the nearest valid word.
    """
    sys.path[:0] = (
        [str(Path.cwd())] if str(Path.cwd()) not in sys.path else []
    )  # For a user's own model by import path.
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(f"Cannot read {word!r}: expected key=value, e.g. experiment=criteo or training.epochs=2.")
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base=HYDRA_VERSION_BASE):
            composed = hydra.compose("config", overrides=overrides, return_hydra_config=True)
            HydraConfig.instance().set_config(composed)
            config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            OmegaConf.set_struct(config, True)
            OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
            return config
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, overrides)) from error


def typed_overrides() -> list[str]:
    """The words of the command line that the configuration was last composed with, a verb's own defaults first."""
    return [str(word) for word in HydraConfig.get().overrides.task]


def _explain(error: BaseException, overrides: list[str]) -> str:
    text = str(error).splitlines()[0].strip().rstrip(".")
    cause = error.__cause__
    while cause is not None:  # Hydra hides the reason here.
        first = str(cause).splitlines()[0].strip() if str(cause) else ""
        if first and first not in text:
            text += f" ({first})"
        cause = cause.__cause__
    return text + "." + _nearest(overrides)


def _nearest(overrides: list[str]) -> str:
    groups = sorted(folder.name for folder in config_folder().iterdir() if folder.is_dir())
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in groups and value not in choices(key) and value not in ("null", ""):
            return f" No {key} {value!r}.{did_you_mean(value, choices(key))}"
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base=HYDRA_VERSION_BASE):
            known = hydra.compose("config", overrides=[o for o in overrides if o.split("=")[0] in groups])
    except (HydraException, OmegaConfBaseException):
        return ""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        *parents, last = key.split(".")
        parent = OmegaConf.select(known, ".".join(parents)) if parents else known
        if isinstance(parent, DictConfig) and last not in parent and key not in groups:
            hint = did_you_mean(last, [str(name) for name in parent])
            return f" No key {key!r}.{hint} To add a new one type +{key}=…"
    return ""


def run_under_hydra(function: Callable[[DictConfig], Any], arguments: list[str]) -> None:
    """Hand the command line to Hydra: `--multirun`, `--cfg job`, `--info` and the like."""
    sys.argv = ["ctrkit", *arguments]
    sys.path[:0] = [str(Path.cwd())] if str(Path.cwd()) not in sys.path else []
    decorated = hydra.main(version_base=HYDRA_VERSION_BASE, config_path=str(config_folder()), config_name="config")(
        function
    )
    decorated()
