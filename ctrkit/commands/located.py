"""Find a run by what a person calls it: its folder, its name, or the id that MLflow gave it."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from ctrkit.commands.workspace import CONFIG_FILE, hint, run_config, runs
from ctrkit.errors import ArtifactError, did_you_mean

LEAST_OF_ID = 8  # Characters of an MLflow run id that are enough to name a run.


def locate_run(config: DictConfig, word: str) -> Path:
    """The folder of the run called `word`: of this experiment, else of any below the root.

    Raises `ArtifactError` where there is none, or more than one.
    """
    path = Path(word)
    if (path / CONFIG_FILE).is_file():
        return path
    own = [folder for folder in runs(config) if folder.name == word]
    if own:
        return own[0]
    known = all_runs(config)
    found = [folder for folder in known if folder.name == word]
    if not found and len(word) >= LEAST_OF_ID:
        found = [folder for folder in known if (tracked_id(folder) or "").startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        places = " or ".join(str(folder) for folder in found)
        raise ArtifactError(f"{word!r} names {len(found)} runs. Type the folder of one: {places}")
    names = [folder.name for folder in known]
    nothing = f" Train one: ctrkit train {hint(config)}" if not names else did_you_mean(word, names)
    raise ArtifactError(f"No run {word!r} below {config.root}: no folder, name or MLflow id of a run.{nothing}")


def all_runs(config: DictConfig) -> list[Path]:
    """Runs of every experiment below the root, oldest first by name."""
    folders = {file.parent for file in Path(config.root).glob(f"*/runs/*/{CONFIG_FILE}")}
    return sorted(folders | set(runs(config)), key=lambda folder: (folder.name, str(folder)))


def tracked_id(run_dir: Path) -> str | None:
    """The id of the run in MLflow, None where it was not tracked."""
    try:
        found = json.loads((run_dir / "tracking.json").read_text(encoding="utf-8"))["run_id"]
        return None if found is None else str(found)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def as_trained(config: DictConfig, run_dir: Path) -> DictConfig:
    """The run's own configuration where it lies now, told to the store that the command line names."""
    own = run_config(run_dir)
    own.work_dir = str(run_dir.parents[1])
    own.root = str(config.root)
    own.force = False
    own.card = config.card
    for key in ("enabled", "uri"):
        own.tracking[key] = config.tracking[key]
    return own
