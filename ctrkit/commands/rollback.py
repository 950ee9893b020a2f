"""`ctrkit rollback`: make the champion of before the champion again."""

from __future__ import annotations

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.registered import open_registry


def run(config: DictConfig) -> None:
    """Go back and say to what."""
    from ctrkit.tracking.aliases import PREVIOUS, roll_back

    name = str(config.promotion.name)
    registry = open_registry(config)
    move = roll_back(registry, name)
    version = registry.version(name, move.version)
    run_name = version.tags.get("ctrkit.run", "unknown")
    say(f"{name} version {move.version} (run {run_name}) is champion again, version {move.before} is not any more")
    left = registry.model(name).aliases.get(PREVIOUS)
    further = f"version {left}" if left is not None else "nothing: it was the first"
    say(f"before it came {further}. Servers that follow models:/{name}@champion have it within seconds")
