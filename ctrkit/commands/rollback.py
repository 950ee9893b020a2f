"""`ctrkit rollback`: make the champion of before the champion again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say
from ctrkit.commands.promotion_record import PROMOTION_FILE
from ctrkit.commands.promotion_scores import RUN_DIR
from ctrkit.commands.registered import open_registry
from ctrkit.commands.tracked import tracked_run
from ctrkit.errors import RegistryError

if TYPE_CHECKING:
    from ctrkit.tracking.aliases import Move
    from ctrkit.tracking.registry import Registry


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
    _note(config, registry, name, move)


def _note(config: DictConfig, registry: Registry, name: str, move: Move) -> None:
    """Write it down beside the run that was left, and on its card, where that run is on this machine."""
    from ctrkit.tracking.aliases import ROLLED_BACK

    assert move.before is not None
    try:
        tags = registry.version(name, move.before).tags
    except RegistryError:  # It was deleted.
        return
    run_dir = Path(tags.get(RUN_DIR, "nowhere"))
    promoted = _read(run_dir / PROMOTION_FILE)
    if (promoted.get("name"), promoted.get("version")) != (name, move.before):
        return
    told = {"to": move.version, "when": tags[ROLLED_BACK].split()[0]}
    write_json(run_dir / PROMOTION_FILE, {**promoted, "rolled_back": told})
    with tracked_run(config, run_dir) as tracker:
        tracker.set_tags({ROLLED_BACK: tags[ROLLED_BACK]})
        update_card(config, run_dir, tracker)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
