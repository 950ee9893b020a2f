"""Where an experiment's artifacts lie, and which run a verb means."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from ctrkit.atomic import atomic_file
from ctrkit.errors import ArtifactError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RUN_FILE, CONFIG_FILE = "run.json", "config.yaml"
RUNS = "runs"  # In the experiment's folder.
SECRET_KEYS = ("password", "token", "secret")  # Never written to a run's configuration.


def work_dir(config: DictConfig) -> Path:
    """The experiment's folder."""
    return Path(config.work_dir)


def runs(config: DictConfig) -> list[Path]:
    """The experiment's runs, oldest first."""
    return sorted(folder.parent for folder in (work_dir(config) / RUNS).glob(f"*/{CONFIG_FILE}"))


def find_run(config: DictConfig) -> Path:
    """The run that `run=` names, or the latest.

    Raises `ArtifactError` when there is none, with what to type.
    """
    known = runs(config)
    if not known:
        raise ArtifactError(f"No run below {work_dir(config) / RUNS}. Train one: ctrkit train {hint(config)}")
    if config.run is None:
        return known[-1]
    for folder in known:
        if folder.name == str(config.run):
            return folder
    raise ArtifactError(
        f"No run {config.run!r} below {work_dir(config) / RUNS}.{did_you_mean(config.run, [f.name for f in known])}"
    )


def new_run(config: DictConfig) -> Path:
    """A folder for a new run, named by time and model; not made yet."""
    model = str(config.model.get("_target_", "model")).replace(":", ".").rsplit(".", 1)[-1]
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = work_dir(config) / RUNS / f"{stamp}-{model}"
    number = 1
    while folder.exists():
        number += 1
        folder = work_dir(config) / RUNS / f"{stamp}-{number}-{model}"
    return folder


def plain(config: Any) -> Any:
    """A resolved copy of (a part of) the configuration as plain dicts and lists.

    Raises `ConfigError` for a value that has to be given and is not.
    """
    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "a key"
        raise ConfigError(f"{key} has no value, and no default. Type {key}=VALUE.") from error


def save_config(config: DictConfig, run_dir: Path) -> dict[str, Any]:
    """Write the resolved configuration beside the run's checkpoints and return it."""
    resolved = plain(config)
    with atomic_file(run_dir / CONFIG_FILE) as temporary:
        temporary.write_text(yaml.safe_dump(without_secrets(resolved), sort_keys=False), encoding="utf-8")
    return resolved


def save_figure(figure: Figure, path: Path) -> None:
    """Write a matplotlib figure as PNG, whole or not at all."""
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def run_config(run_dir: Path) -> DictConfig:
    """The configuration a run was trained with; `ArtifactError` where it cannot be read."""
    try:
        return DictConfig(yaml.safe_load((run_dir / CONFIG_FILE).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise ArtifactError(f"Run {run_dir} has no readable {CONFIG_FILE}: {error}. Train again.") from error


def hint(config: DictConfig) -> str:
    """The words that lead another verb to the same artifacts."""
    from ctrkit.commands.main import choices

    name = str(config.name)
    if name == project_experiment():
        words = []
    else:
        words = [f"experiment={name}"] if name in choices("experiment") else [f"name={name}"]
    default = f"{config.root}/{name}"
    return " ".join(words + ([] if str(config.work_dir) == default else [f"work_dir={config.work_dir}"]))


def project_experiment() -> str | None:
    """The experiment that is meant in this folder unless another is named; None outside of a project."""
    file = Path("conf") / "project.yaml"
    try:
        chosen = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults") or []
    except (OSError, ValueError, yaml.YAMLError, AttributeError):
        return None
    return next((str(one["experiment"]) for one in chosen if isinstance(one, dict) and one.get("experiment")), None)


def latest_export(run_dir: Path) -> Path:
    """The folder of a run's newest exported version; `ArtifactError` where there is none."""
    versions = sorted((int(p.name), p) for p in (run_dir / "export").glob("*") if p.name.isdigit())
    if not versions:
        raise ArtifactError(
            f"Run {run_dir.name} has no export. Type: ctrkit export run={run_dir.name} work_dir={run_dir.parents[1]}"
        )
    return versions[-1][1]


def check_part(part: str) -> str:
    """Return `part` when it names a part of the records, else raise `ConfigError`."""
    parts = ("train", "validation", "test")
    if part not in parts:
        raise ConfigError(f"part={part!r} is no part of the records.{did_you_mean(part, parts)}")
    return part


def without_secrets(value: Any) -> Any:
    """`value` with `***` for what a key calls a password, a token or a secret."""
    if isinstance(value, dict):
        return {
            k: "***" if any(s in str(k).lower() for s in SECRET_KEYS) else without_secrets(v) for k, v in value.items()
        }
    return value


def finite(value: Any) -> Any:
    """`value` with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
