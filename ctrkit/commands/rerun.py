"""`ctrkit rerun RUN`: train a run again from its own configuration, and say whether the numbers agree."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say, table
from ctrkit.commands.evaluate import evaluate_run
from ctrkit.commands.located import as_trained, locate_run
from ctrkit.commands.prepare import prepare_log
from ctrkit.commands.reproduction import Number, changed_data, numbers_of, parts_of, surroundings, told
from ctrkit.commands.run_origin import data_facts
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.train import train_run
from ctrkit.commands.workspace import RUN_FILE, find_run, finite
from ctrkit.errors import ArtifactError, ConfigError, ReproductionError

if TYPE_CHECKING:
    from ctrkit.records import Prepared

RERUN_FILE, ORIGIN_FILE = "rerun.json", "origin.json"
SHOWN = 12  # Numbers that differ.


def run(config: DictConfig) -> None:
    """Train again and compare. Raises `ReproductionError` where a number differs by more than `rerun.tolerance`."""
    before = find_run(config) if config.run is None else locate_run(config, str(config.run))
    now, numbers = rerun(config, before)
    say(f"{now.name} repeats {before.name}: {told(numbers)}")
    tolerance = float(config.rerun.tolerance)
    off = [one for one in numbers if one.distance > tolerance]
    if off:
        shown = [(one.name, f"{_shown(one.before)} then, {_shown(one.now)} now") for one in off[:SHOWN]]
        say(table(shown) + (f"\n  … and {len(off) - SHOWN} more" if len(off) > SHOWN else ""))
        raise ReproductionError(
            f"Run {before.name} was not reproduced: {told(numbers)}. Whatever is said above of code, versions, machine "
            f"or seed is where to look; rerun.tolerance={_next(off):.0e} would let it pass."
        )


def rerun(config: DictConfig, before: Path) -> tuple[Path, list[Number]]:
    """Train the configuration of `before` again, on the same records; returns the new run and all numbers of both.

    Raises:
        ArtifactError: the run did not finish, or the log gives other records than it was trained on.
        ConfigError: it was trained on a cluster.
    """
    origin, known = _read(before / ORIGIN_FILE), _read(before / RUN_FILE)
    if known.get("status") != "finished":
        raise ArtifactError(
            f"Run {before} is {known.get('status', 'not begun')}, so it has no numbers to agree with. "
            f"Finish it first: ctrkit train run={before.name} work_dir={before.parents[1]}"
        )
    own = as_trained(config, before)
    own.run = "new"
    if own.get("cluster", {}).get("mode", "none") != "none":
        raise ConfigError(
            f"Run {before.name} was trained on a cluster, whose workers never come in the same order twice. "
            "Train it again by `ctrkit cluster train …` and type `ctrkit compare` to see how far apart the two are."
        )
    prepared = prepare_log(own)
    _check_records(before, origin, known, prepared)
    if config.rerun.seed is not None:
        say(f"with seed {config.rerun.seed} instead of {own.seed}")
        reseed(own, int(config.rerun.seed))
    now, _ = train_run(own, again=before, origin=origin)
    for warning in surroundings(origin.get("environment"), _read(now / ORIGIN_FILE).get("environment")):
        say(f"warning: {warning}")
    for part in parts_of(before):
        own.part = part
        evaluate_run(own, now)
    numbers = numbers_of(before, now)
    with tracked_run(own, now) as tracker:
        agrees = all(one.is_equal for one in numbers)
        write_json(
            now / RERUN_FILE,
            finite(
                {"of": before.name, "agrees": agrees, "told": told(numbers), "numbers": [n.as_json() for n in numbers]}
            ),
        )
        tracker.set_tags({"ctrkit.rerun_of": before.name, "ctrkit.rerun_agrees": str(agrees).lower()})
        update_card(own, now, tracker)
    return now, numbers


def reseed(own: DictConfig, seed: int) -> None:
    """Give the seed, and what followed it when the run was configured, another value; data keep theirs."""
    for group in (own.training, own.model):
        if group.get("seed") == own.seed:
            group.seed = seed
    own.seed = seed


def _check_records(before: Path, origin: dict[str, Any], known: dict[str, Any], prepared: Prepared) -> None:
    """Raise `ArtifactError` unless the records are those that the run was trained on."""
    train = prepared.train
    same = train is not None and (known.get("fingerprint"), known.get("records")) == (
        prepared.fingerprint,
        train.manifest.checksum,
    )
    if not same:
        changes = changed_data(origin.get("data"), data_facts(prepared, prepared.work_dir))
        raise ArtifactError(
            f"Run {before.name} cannot be repeated: the records in {prepared.work_dir} are not those that it was "
            f"trained on ({'; '.join(changes) or 'other bytes'}). Put the log back as it was: data.path of its "
            f"configuration names it ({before / 'config.yaml'})."
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _next(off: list[Number]) -> float:
    """The next power of ten above the largest difference."""
    largest = max((one.distance for one in off if not math.isinf(one.distance)), default=1.0)
    return float(10.0 ** math.ceil(math.log10(largest))) if largest > 0 else 0.0
