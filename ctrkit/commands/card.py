"""Keep a run's card up to date: `card.json` and `card.html` in its folder and among its tracked files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import atomic_file, write_json
from ctrkit.commands.console import say
from ctrkit.commands.located import as_trained, locate_run
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.workspace import RUNS, find_run, finite, hint, plain, run_config, without_secrets
from ctrkit.errors import ArtifactError
from ctrkit.version import __version__

if TYPE_CHECKING:
    from ctrkit.tracking import Run

CARD_FILE, PAGE_FILE, CARD_FOLDER = "card.json", "card.html", "card"
FORMAT_VERSION = 1
DESCRIPTION = "mlflow.note.content"  # The tag that MLflow's pages show as the run's description.
TOLD = {"auc": "AUC", "grouped_auc": "grouped AUC", "log_loss": "log loss", "pcoc": "PCOC"}


def run(config: DictConfig) -> None:
    """Write the card anew and say where it is."""
    run_dir = find_run(config) if config.run is None else locate_run(config, str(config.run))
    own = as_trained(config, run_dir)
    with tracked_run(own, run_dir) as tracker:
        say(str(update_card(own, run_dir, tracker)))


def update_card(config: DictConfig, run_dir: Path, tracker: Run) -> Path:
    """Write the card from what lies in `run_dir` and log it; a verb calls it at its end. Returns the page's path."""
    from ctrkit.card import card_page

    card = finite(collect(config, run_dir))
    page = card_page(card, {name: (run_dir / f"{name}.png").read_bytes() for name in card["plots"]})
    write_json(run_dir / CARD_FILE, card)
    with atomic_file(run_dir / PAGE_FILE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    for file in (CARD_FILE, PAGE_FILE):
        tracker.log_file(run_dir / file, CARD_FOLDER)
    tracker.set_tags({DESCRIPTION: description(card, tracker.run_id)})
    return run_dir / PAGE_FILE


def collect(config: DictConfig, run_dir: Path) -> dict[str, Any]:
    """What is known of a run, from the files in its folder; what is not known is None or empty."""
    from ctrkit.commands.over_seeds import seeds_of
    from ctrkit.tracking.parameters import flatten

    own = plain(run_config(run_dir))
    run, origin = read(run_dir / "run.json") or {}, read(run_dir / "origin.json") or {}
    evaluations = {part: found for part in ("test", "validation", "train") if (found := evaluation(run_dir, part))}
    started = run.get("started")
    return {
        "format_version": FORMAT_VERSION,
        "run": run_dir.name,
        "name": own.get("name"),
        "model": str(own.get("model", {}).get("_target_", "")).replace(":", ".").rpartition(".")[2] or None,
        "question": origin.get("question") or own.get("question") or "",
        "experiment": origin.get("experiment"),
        "status": run.get("status"),
        "started": None if started is None else _utc(started),
        "command": _typed(origin),
        "training": run.get("result"),
        "evaluations": evaluations,
        "over_seeds": seeds_of(run_dir, next(iter(evaluations), None)),
        "learning_curve": read(run_dir / "history.json"),
        "plots": _plots(run_dir, list(evaluations)),
        "export": _export(run_dir),
        "verification": read(run_dir / "verification.json"),
        "latency": read(run_dir / "latency.json"),
        "promotion": read(run_dir / "promotion.json"),
        "changed": origin.get("changed"),
        "config": _masked(flatten(without_secrets(own))),
        "data": origin.get("data"),
        "seeds": origin.get("seeds") or {"seed": own.get("seed")},
        "environment": origin.get("environment"),
        "tracking": read(run_dir / "tracking.json"),
        "repeats": read(run_dir / "rerun.json"),
        "rerun": f"ctrkit rerun {run_dir.name} {hint(config)}" if run_dir.parent.name == RUNS else None,
        "version": __version__,
        "written": _utc(time.time()),
    }


def evaluation(run_dir: Path, part: str) -> dict[str, Any] | None:
    """What `evaluate` wrote of a part."""
    return read(run_dir / f"evaluation_{part}.json")


def read(path: Path) -> Any:
    """A JSON file's content, None where there is none that can be read: a card tells what there is."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def description(card: dict[str, Any], run_id: str | None) -> str:
    """The run in a few lines of Markdown, for its page in MLflow."""
    lines = [f"**{_plain_text(card['question'])}**"] if card["question"] else []
    for part, found in card["evaluations"].items():
        told = []
        for name, shown in TOLD.items():
            if found["metrics"].get(name) is None:
                continue
            bounds = found.get("intervals", {}).get(name)
            interval = "" if bounds is None else f" ({bounds[0]:.4f} to {bounds[1]:.4f})"
            told.append(f"{shown} {found['metrics'][name]:.4f}{interval}")
        lines.append(f"{part}: " + ", ".join(told))
    gates = (card["promotion"] or {}).get("gates") or []
    failed = [gate["name"] for gate in gates if gate["verdict"] == "failed"]
    if gates:
        lines.append(f"gates failed: {', '.join(failed)}" if failed else f"all {len(gates)} gates let it through")
    link = "" if run_id is None else f" ([open](get-artifact?path={CARD_FOLDER}%2F{PAGE_FILE}&run_uuid={run_id}))"
    lines.append(f"The whole card is the artifact `{CARD_FOLDER}/{PAGE_FILE}`{link}.")
    return "\n\n".join(lines)


def _plots(run_dir: Path, parts: list[str]) -> list[str]:
    """Names of the pictures that there are, those of the part that counts first."""
    wanted = [f"{part}_{kind}" for part in parts for kind in ("roc", "calibration")]
    return [name for name in [*wanted[:2], "learning_curve", *wanted[2:]] if (run_dir / f"{name}.png").is_file()]


def _export(run_dir: Path) -> dict[str, Any] | None:
    from ctrkit.commands.workspace import latest_export

    try:
        folder = latest_export(run_dir)
    except ArtifactError:
        return None
    return {"version": int(folder.name), "path": str(folder)}


def _typed(origin: dict[str, Any]) -> str | None:
    command = (origin.get("environment") or {}).get("command")
    return " ".join(command) if command else None


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _masked(flat: dict[str, Any]) -> dict[str, Any]:
    from ctrkit.tracking.location import without_password

    return {key: without_password(value) if isinstance(value, str) else value for key, value in flat.items()}


def _plain_text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{mark}" if mark in "\\`*_[]<>#|" else mark for mark in " ".join(text.split()))
