"""Serve what the registry says, and follow an alias when it moves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.follow import Fetched, Following
from ctrkit.commands.main import choices
from ctrkit.commands.registered import open_registry
from ctrkit.commands.serve import (
    announce,
    announced,
    server_file,
    serving,
    serving_options,
    stopped_by_signals,
    tell,
)
from ctrkit.commands.switching import switch_to_each
from ctrkit.commands.workspace import hint
from ctrkit.errors import ConfigError, CtrkitError
from ctrkit.tracking.reference import ModelReference

if TYPE_CHECKING:
    from ctrkit.serving import Server
    from ctrkit.serving.fleet import Fleet


def serve_registered(config: DictConfig) -> None:
    """Serve the version that `serving.model` means, and each one that its alias moves to, until told to stop."""
    from ctrkit.tracking.fetched import fetched_folder

    reference = ModelReference.parse(str(config.serving.model))
    _check(config)
    registry = open_registry(config)
    folder = fetched_folder(str(config.root), registry, reference.name)
    stop = stopped_by_signals()
    say(f"{reference}: looking it up in {registry.shown}")
    following = Following(registry.location.uri, reference, folder, every=float(config.serving.registry_every))
    try:
        versions = iter(following)
        first = next(versions)
        say(f"version {first.version}, run {first.run}: loading and warming")
        _serve(config, reference, folder, first, versions, stop)
    finally:
        following.close()
    say("stopped")


def _serve(
    config: DictConfig,
    reference: ModelReference,
    folder: Path,
    first: Fetched,
    versions: Iterator[Fetched],
    stop: threading.Event,
) -> None:
    name = reference.name
    options = serving_options(
        config.serving,
        name=name,
        version_policy=f"specific:{first.version}",
        labels=_labels(reference, first),
        poll_every=None,  # Versions come when the registry says so, not when their folder does.
    )
    known = server_file(config, name)

    def now(server: Server | Fleet, version: Fetched) -> None:
        announce(known, server, exported=Path(version.path), run=version.run, run_dir=version.run_dir, model=name)

    with serving(folder, options) as server, announced(known):
        now(server, first)
        tell(server, f"ctrkit rank {_hint(config, name)}")

        def switch(version: Fetched) -> bool:
            served = _switched(server, reference, folder, version)
            if served and not stop.is_set():
                now(server, version)
            return served

        threading.Thread(target=switch_to_each, args=(versions, switch), name="ctrkit-follow", daemon=True).start()
        stop.wait()


def _switched(server: Server | Fleet, reference: ModelReference, folder: Path, version: Fetched) -> bool:
    """Let the server switch to a version; False, with the reason told, where it cannot and stays."""
    from ctrkit.serving.fleet import Fleet
    from ctrkit.serving.models import ModelConfig, ModelsConfig, Specific

    policy = Specific((version.version,))
    config = ModelsConfig((ModelConfig(reference.name, folder, policy, _labels(reference, version)),))
    try:
        if isinstance(server, Fleet):
            server.reload(config)
        else:
            server.models.apply(config)
    except CtrkitError as error:
        say(f"{reference} moved to version {version.version}, which cannot be served: {error}")
        return False
    say(f"{reference} moved: serving version {version.version}, run {version.run}")
    return True


def _labels(reference: ModelReference, version: Fetched) -> dict[str, int]:
    """The alias is a label of the server too."""
    return {} if reference.alias is None else {reference.alias: version.version}


def _check(config: DictConfig) -> None:
    """Raise `ConfigError` for options that say again, otherwise, what the registry says."""
    given: dict[str, Any] = {"labels": None, "model_config_file": None, "version_policy": "latest"}
    for key, default in given.items():
        if config.serving[key] not in (default, {}):
            raise ConfigError(
                f"serving.{key}={config.serving[key]} does not go with {config.serving.model}: the registry says which "
                "version is served. Leave one of them out."
            )


def _hint(config: DictConfig, name: str) -> str:
    if name == str(config.name):
        return hint(config)
    return f"experiment={name}" if name in choices("experiment") else f"name={name}"
