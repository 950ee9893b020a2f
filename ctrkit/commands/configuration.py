"""Compose the configuration from `conf/`, the user's own `./conf` and the command line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ctrkit.commands.composition_errors import explain
from ctrkit.commands.known_keys import check_files, misfits
from ctrkit.commands.layers import composed_layers
from ctrkit.commands.main import config_folder, groups
from ctrkit.commands.verbs import HYDRA_FLAGS
from ctrkit.errors import ConfigError, did_you_mean

HYDRA_VERSION_BASE = "1.3"


class UserConfigPath(SearchPathPlugin):
    """Search `./conf` after ctrkit's own configuration, so that a project adds its own choices."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        folder = user_folder()
        if folder is not None:
            search_path.append("user", f"file://{folder}")


Plugins.instance().register(UserConfigPath)


def user_folder() -> Path | None:
    """The project's `./conf`; None where there is none, or where it is ctrkit's own."""
    folder = Path.cwd() / "conf"
    return folder if folder.is_dir() and folder != config_folder() else None


def start_name() -> str:
    """What the configuration starts from: the project's `conf/project.yaml`, else ctrkit's `conf/main.yaml`."""
    folder = user_folder()
    return "project" if folder is not None and (folder / "project.yaml").is_file() else "main"


@contextlib.contextmanager
def initialized() -> Iterator[None]:
    """Hydra, looking into ctrkit's and the project's folder."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(config_folder()), version_base=HYDRA_VERSION_BASE):
        yield


def load_config(overrides: list[str]) -> DictConfig:
    """Return the composed configuration.

    Raises `ConfigError` with the reason and the nearest valid word.
    """
    import_from_here()
    for word in overrides:
        if word.startswith("-"):
            raise ConfigError(f"Unknown flag {word!r}.{did_you_mean(word, HYDRA_FLAGS)}")
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(f"Cannot read {word!r}: expected key=value, e.g. experiment=criteo or training.epochs=2.")
    _refuse_hidden_choices()
    try:
        with initialized():
            composed = hydra.compose(start_name(), overrides=overrides, return_hydra_config=True)
            HydraConfig.instance().set_config(composed)
            config = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
            skipped = _drop_misfits(config, overrides)
            if user_folder() is not None:  # That ctrkit's own files are right is known.
                check_files(composed_layers(start_name(), overrides), config_folder(), groups(), skipped)
            OmegaConf.set_struct(config, True)
            OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
            return config
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(explain(error, overrides)) from error


def _drop_misfits(config: DictConfig, overrides: list[str]) -> list[str]:
    """Take away what an experiment says of its own model where another is chosen that has no such option; say so."""
    others = [word for word in overrides if word.partition("=")[0] != "model"]
    if len(others) == len(overrides):
        return []
    typed = {word.lstrip("+").partition("=")[0] for word in overrides}
    found = misfits(composed_layers(start_name(), overrides), composed_layers(start_name(), others))
    found = [key for key in found if f"model.{key}" not in typed]
    for key in found:
        del config.model[key]
    note = f"{config.model._target_} has no {', '.join(found)}, which the experiment sets for its own model: left out"
    if found and note not in _said:
        _said.add(note)
        print(note, file=sys.stderr)
    return found


_said: set[str] = set()  # Notes are for people: once is enough, however often a configuration is composed.


def _refuse_hidden_choices() -> None:
    """Raise `ConfigError` for a file of the user's that is never read, because ctrkit has one of that name."""
    folder = user_folder()
    for file in [] if folder is None else sorted(folder.glob("*/*.yaml")):
        own = config_folder() / file.parent.name / file.name
        if own.is_file() and own.read_bytes() != file.read_bytes():
            raise ConfigError(
                f"{file} has the name of one of ctrkit's choices ({own}), so that it would never be read. Rename it."
            )


def import_from_here() -> None:
    """Make a user's own modules, such as a model, importable from the working directory."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def typed_overrides() -> list[str]:
    """The words of the command line that the configuration was last composed with, a verb's own defaults first."""
    return [str(word) for word in HydraConfig.get().overrides.task]


def run_under_hydra(function: Callable[[DictConfig], Any], arguments: list[str]) -> None:
    """Hand the command line to Hydra: `--multirun`, `--cfg job`, `--info` and the like."""
    sys.argv = ["ctrkit", *arguments]
    import_from_here()
    decorated = hydra.main(version_base=HYDRA_VERSION_BASE, config_path=str(config_folder()), config_name=start_name())(
        function
    )
    decorated()
