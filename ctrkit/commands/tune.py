"""`ctrkit tune`: search for the values that make an experiment better, and write the winner as an experiment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ctrkit import lock
from ctrkit.commands.configuration import typed_overrides
from ctrkit.commands.console import say
from ctrkit.commands.prepare import log_files, prepare_log
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.trial_training import TrialTraining, write_trial_card
from ctrkit.commands.tuning_result import conclude, train_finalists
from ctrkit.commands.workspace import plain, work_dir
from ctrkit.errors import ConfigError, TrainingError
from ctrkit.tuning.options import LIMITS, TuningOptions

if TYPE_CHECKING:
    from ctrkit.records import Prepared
    from ctrkit.tracking import Run
    from ctrkit.tuning import Space
    from ctrkit.tuning.oracle import SearchOracle

RECORDS = "records"  # In the folder of searches: those of an experiment that holds out no validation part.
LOCK_FILE = "search.lock"
# Beside the budget, what may change while a search remains the same.
_FREE = (*LIMITS, "workers", "name", "keep", "finalists", "finalist_seeds")


def run(config: DictConfig) -> None:
    """Search, show what was found, and say what to do next; as a part of a parallel search, do that part."""
    from ctrkit.tuning.roles import role
    from ctrkit.tuning.search_folder import FOLDER, begin, choose_folder, read_identity

    options = tuning_options(config)
    part = role()
    config, prepared = prepare_for_search(config, options)
    training = TrialTraining(config, prepared)
    space = read_space(config, options, prepared)
    identity = identity_of(config, prepared)
    folder = choose_folder(
        work_dir(config) / FOLDER,
        identity,
        name=options.name,
        method=options.method,
    )
    if part is not None:
        take_part(config, options, training, space, folder)
        return
    if read_identity(folder) is None:
        training.check(space)
    with lock.locked(folder / LOCK_FILE, lambda pid: _taken(pid, folder)):
        begin(folder, identity)
        introduce(options, training, space, folder)
        with tracked_run(config, folder, attach=False, tags={"ctrkit.search": folder.name}) as tracker:
            tracker.log_params(plain(config))
            tracker.log_index(prepared.index)
            search(config, options, training, space, folder, tracker)
            train_finalists(config, options, training, folder, tracker)
            conclude(config, options, space, folder, tracker)


def tuning_options(config: DictConfig) -> TuningOptions:
    """The options; their space as plain values."""
    values = plain(config.tuning)
    values.pop("_target_", None)
    try:
        return TuningOptions(**values)
    except TypeError as error:
        raise ConfigError(f"tuning: {error}. `ctrkit tune --help` names its keys.") from error


def prepare_for_search(config: DictConfig, options: TuningOptions) -> tuple[DictConfig, Prepared]:
    """The experiment's records; where it holds out no validation part, others in a folder of their own that do.

    Rows for test stay the same and are not read. Raises `ConfigError` when there is nothing to judge trials by.
    """
    from ctrkit.tuning.search_folder import FOLDER

    if not config.data.split.validation:
        config = config.copy()
        files = [str(path) for path in log_files(config)]
        OmegaConf.set_struct(config, False)
        config.data.build, config.data.path = None, files
        config.data.split.validation = options.validation
        place = config.copy()
        place.work_dir = str(work_dir(config) / FOLDER / RECORDS)
        say(f"{options.validation:.0%} of the rows held out for the search (tuning.validation): {place.work_dir}")
        prepared = prepare_log(place)
    else:
        prepared = prepare_log(config)
    validation = prepared.validation
    if validation is None or validation.rows == 0:
        raise ConfigError(
            "The records have no validation part to judge trials by, and rows for test are not for that. Type "
            "data.split.validation=0.1."
        )
    if options.objective == "grouped_auc" and not validation.has_group:
        raise ConfigError(
            "tuning.objective=grouped_auc, but the records have no groups. Name a `group:` column in the schema, or "
            "take auc."
        )
    return config, prepared


def read_space(config: DictConfig, options: TuningOptions, prepared: Prepared) -> Space:
    """The search space, its keys checked. Raises `ConfigError`."""
    from ctrkit.models import find_model, takes_hp
    from ctrkit.tuning import Space
    from ctrkit.tuning.options import AUTO

    target = str(config.model._target_)
    model = find_model(target)
    asks = takes_hp(target)
    spec: Any = options.space
    if asks and spec == AUTO:  # The model function says what to search.
        spec = {}
    space = Space.parse(spec, model)
    space.check_keys(model)
    if not len(space) and not asks:
        raise ConfigError(
            "tuning.space is empty, expected at least one key. Type e.g. 'tuning.space={model.dim: [8, 16, 32]}', or "
            "write a model function that takes hp."
        )
    return space


def identity_of(config: DictConfig, prepared: Prepared) -> dict[str, Any]:
    """What makes a search this search: its trials compare with those of another only if all of it is the same."""
    resolved = plain(config)
    tuning = {key: value for key, value in resolved["tuning"].items() if key not in _FREE}
    return {
        **{key: resolved[key] for key in ("model", "training", "seed")},
        "tuning": tuning,
        "fingerprint": prepared.fingerprint,
        "records": None if prepared.train is None else prepared.train.manifest.checksum,
    }


def introduce(options: TuningOptions, training: TrialTraining, space: Space, folder: Path) -> None:
    """Say what is searched."""
    say(f"search {folder}: {options.method}, validation {options.objective}")
    for key, one in space.dimensions.items():
        say(f"  {key}: {one}")
    outside = space.missing(training.own_values(space))
    if options.default_first and outside:
        own = training.own_values(space)
        shown = ", ".join(f"{key}={own.get(key, 'unset')}" for key in outside)
        say(f"  the experiment's own values are not among the trials: {shown} is outside of the space")


def search(
    config: DictConfig,
    options: TuningOptions,
    training: TrialTraining,
    space: Space,
    folder: Path,
    tracker: Run,
) -> None:
    """Train trials until the budget is spent, here or in processes side by side."""
    from ctrkit.tuning.board import Board
    from ctrkit.tuning.nested_runs import PARENT
    from ctrkit.tuning.trial_file import TrialFiles

    board = Board(TrialFiles(folder), options, say)
    if tracker.run_id is not None:
        os.environ[PARENT] = tracker.run_id
    try:
        if options.workers > 1:
            launch(options, folder, board)
        else:
            in_this_process(config, options, training, space, folder, board)
    finally:
        os.environ.pop(PARENT, None)


def in_this_process(
    config: DictConfig, options: TuningOptions, training: TrialTraining, space: Space, folder: Path, board: Any = None
) -> None:
    """Train one trial after the other; as a worker, those that the chief gives."""
    from ctrkit.models import takes_hp
    from ctrkit.tuning.tuner import SearchTuner

    def open_run(run_dir: Path, tags: Mapping[str, Any]) -> Run:
        return tracked_run(config, run_dir, attach=False, tags={**tags, "ctrkit.run_dir": str(run_dir)})

    tuner = SearchTuner(
        oracle_of(options, training, space, folder),
        folder,
        train=training.train,
        measure=training.measure,
        open_run=open_run,
        explore=training.explore if takes_hp(str(config.model._target_)) else None,
        tell=None if board is None else lambda trial: board.look(),
        ended=write_trial_card,
    )
    tuner.search()
    if board is not None and tuner.search_oracle.stopped_because is not None:
        say(f"the search ends: {tuner.search_oracle.stopped_because}")


def oracle_of(options: TuningOptions, training: TrialTraining, space: Space, folder: Path) -> SearchOracle:
    """The oracle, which begins with the experiment's own values where they lie in the space."""
    from ctrkit.tuning.oracle import make_oracle

    first = space.encode(training.own_values(space)) if options.default_first else None
    return make_oracle(folder, options, space, first=first)


def take_part(config: DictConfig, options: TuningOptions, training: TrialTraining, space: Space, folder: Path) -> None:
    """Be the chief or a worker of a parallel search, as keras-tuner's variables say."""
    from ctrkit.models import takes_hp
    from ctrkit.tuning.chief import serve_oracle
    from ctrkit.tuning.roles import CHIEF, role
    from ctrkit.tuning.tuner import explore_space

    if role() != CHIEF:
        in_this_process(config, options, training, space, folder)
        return
    oracle = oracle_of(options, training, space, folder)
    explore_space(oracle, training.explore if takes_hp(str(config.model._target_)) else None)
    serve_oracle(oracle)


def launch(options: TuningOptions, folder: Path, board: Any) -> None:
    """Chief and workers as processes of this machine."""
    from ctrkit.tuning import LocalSearch

    words = [word for word in typed_overrides() if not word.lstrip("+").startswith(("tuning.name=", "tuning.workers="))]
    command = [sys.executable, "-m", "ctrkit.commands.main", "tune", *words]
    say(f"{options.workers} workers and a chief, logs in {folder / 'logs'}")
    local = LocalSearch(
        [*command, f"tuning.name={folder.name}", f"tuning.workers={options.workers}"],
        workers=options.workers,
        folder=folder,
        look=board.look,
    )
    local.run()
    for lost in local.lost:
        say(f"  a worker was lost and started again ({lost})")


def _taken(pid: str, folder: Path) -> TrainingError:
    return TrainingError(
        f"Another process ({pid}) runs the search {folder}. Wait for it, stop it, or type tuning.name=new."
    )
