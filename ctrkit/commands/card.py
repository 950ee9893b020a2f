"""Keep a run's card up to date: `card.json` and `card.html` in its folder and among its tracked files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import write_json

if TYPE_CHECKING:
    from ctrkit.tracking import Run

CARD_FILE, CARD_FOLDER = "card.json", "card"


def update_card(config: DictConfig, run_dir: Path, tracker: Run) -> Path:
    """Write the card from what lies in `run_dir` and log it; a verb calls it at its end. Returns the JSON's path."""
    card = {name: _read(run_dir / f"{name}.json") for name in ("run", "latency", "verification", "promotion")}
    card["evaluations"] = {path.stem: _read(path) for path in sorted(run_dir.glob("evaluation_*.json"))}
    path = run_dir / CARD_FILE
    write_json(path, card)
    tracker.log_file(path, CARD_FOLDER)
    return path


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
