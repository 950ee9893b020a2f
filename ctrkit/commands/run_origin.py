"""Note what a run begins from: words, changed settings, data, code, versions and machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ctrkit.atomic import write_json
from ctrkit.checksum import file_checksum
from ctrkit.commands.configuration import initialized, start_name, typed_overrides
from ctrkit.commands.workspace import plain, without_secrets, work_dir
from ctrkit.progress import progress

if TYPE_CHECKING:
    from ctrkit.records import Prepared

ORIGIN_FILE = "origin.json"
CHECKSUMS_FILE = "log_checksums.json"  # In the work folder: a log is read once to be summed, not once a run.
# Settings that change where a run lies, not what it is.
MISSING = "???"  # What OmegaConf says of a setting that has to be given.
PLACES = ("root", "work_dir", "run", "runs", "force", "part", "tracking", "rerun", "card", "question", "sweep")


def note_origin(
    config: DictConfig,
    run_dir: Path,
    prepared: Prepared,
    *,
    again: Path | None = None,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `origin.json` into the run's folder when its training starts, or goes on.

    A run that repeats `again` has its configuration from there, so that what was typed and changed is as `before`.
    """
    from ctrkit.tracking.environment import describe
    from ctrkit.tracking.location import without_password

    if again is None:
        chosen = {
            "question": str(config.get("question") or ""),
            "words": [without_password(word) for word in typed_overrides()],
            "experiment": chosen_experiment(),
            "changed": without_secrets(changed_settings(config)),
        }
    else:
        chosen = {key: (before or {}).get(key) for key in ("question", "words", "experiment", "changed")}
        chosen["rerun_of"] = again.name
    origin = {
        **chosen,
        "seeds": {"seed": int(config.seed)},
        "data": data_facts(prepared, work_dir(config)),
        "environment": describe(),
    }
    write_json(run_dir / ORIGIN_FILE, origin)
    return origin


def chosen_experiment() -> str | None:
    """The experiment that the configuration was composed with, None for none."""
    experiment = HydraConfig.get().runtime.choices.get("experiment")
    return None if experiment is None else str(experiment)


def changed_settings(config: DictConfig) -> dict[str, dict[str, Any]]:
    """Settings that differ from what the experiment alone gives: `{key: {"value": ..., "default": ...}}`.

    Without an experiment they are compared with what the chosen files of `conf/` give.
    """
    from ctrkit.tracking.parameters import flatten

    choices = {str(group): choice for group, choice in HydraConfig.get().runtime.choices.items()}
    experiment = choices.pop("experiment", None)
    if experiment is not None:
        words = [f"experiment={experiment}"]
    else:
        words = [f"{group}={choice}" for group, choice in choices.items() if "/" not in group and choice]
    before = _composed(words)
    defaults = OmegaConf.to_container(before, resolve=True)
    assert isinstance(defaults, dict)
    mine, theirs = flatten(plain(config)), flatten(defaults)
    followed = _followed(config) & _followed(before)
    found = {}
    for key in [*theirs, *(key for key in mine if key not in theirs)]:
        if key.split(".")[0] not in PLACES and key not in followed and mine.get(key) != theirs.get(key):
            default = theirs.get(key)
            found[key] = {"value": mine.get(key), "default": None if default == MISSING else default}
    return found


def _followed(config: DictConfig) -> set[str]:
    """Settings that are written as those of others, as `${seed}`: they change with them, not by themselves."""
    from ctrkit.tracking.parameters import flatten

    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict)
    return {key for key, value in flatten(raw).items() if isinstance(value, str) and "${" in value}


def _composed(words: list[str]) -> DictConfig:
    """What other words compose, leaving no trace in Hydra, which may be in the middle of a multirun."""
    running = GlobalHydra.instance().hydra
    try:
        with initialized():
            composed: DictConfig = hydra.compose(start_name(), overrides=words)
            OmegaConf.to_container(composed, resolve=True, throw_on_missing=False)  # While Hydra's resolvers know it.
            return composed
    finally:
        GlobalHydra.instance().hydra = running  # Another instance than before: Hydra restores a copy.


def data_facts(prepared: Prepared, folder: Path) -> dict[str, Any]:
    """The log's files with sizes and checksums, its split, and of each part rows, label rate, times and checksum."""
    from ctrkit.records import Manifest

    description = prepared.description
    parts = {}
    for part, facts in description["parts"].items():
        manifest = Manifest.load(prepared.work_dir / "records" / part)
        parts[part] = {**facts, "bytes": manifest.bytes, "checksum": manifest.checksum}
    return {
        "fingerprint": prepared.fingerprint,
        "index_rows": sum({field.table: field.rows for field in prepared.index.fields}.values()),
        "features": len(prepared.index.fields),
        "log": prepared.log_checksum,
        "files": _summed(description["inputs"]["sources"], folder / CHECKSUMS_FILE),
        "split": description["inputs"]["split"],
        "time": prepared.schema.time,
        "parts": parts,
    }


def _summed(sources: list[dict[str, Any]], cache: Path) -> list[dict[str, Any]]:
    """Path, bytes and SHA-256 of each file of the log; null where it is gone or changed since it was read."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    found = []
    with progress("summing the log", total=sum(source["bytes"] for source in sources), unit="bytes") as shown:
        for source in sources:
            key = f"{source['path']} {source['bytes']} {source['mtime_ns']}"
            if key not in known:
                known[key] = _checksum(source)
            shown.advance(source["bytes"])
            found.append({"path": source["path"], "bytes": source["bytes"], "sha256": known[key]})
    write_json(cache, known)
    return found


def _checksum(source: dict[str, Any]) -> str | None:
    path = Path(source["path"])
    try:
        state = path.stat()
        same = (state.st_size, state.st_mtime_ns) == (source["bytes"], source["mtime_ns"])
        return file_checksum(path) if same else None
    except OSError as error:
        print(f"warning: {path} has no checksum on the run's card: {error.strerror}", file=sys.stderr)
        return None
