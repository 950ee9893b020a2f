"""`ctrkit train`: records -> a trained model, tracked in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say, table
from ctrkit.commands.instantiating import make
from ctrkit.commands.located import locate_run
from ctrkit.commands.prepare import prepare_log
from ctrkit.commands.run_origin import note_origin
from ctrkit.commands.tracked import store_beside, tracked_run
from ctrkit.commands.workspace import (
    RUN_FILE,
    RUNS,
    finite,
    hint,
    new_run,
    plain,
    run_config,
    runs,
    save_config,
    save_figure,
)

if TYPE_CHECKING:
    from ctrkit.records import Prepared
    from ctrkit.tracking import Run
    from ctrkit.training import Observer, TrainingResult


def run(config: DictConfig) -> None:
    """Train and say what to do next; as a task of a cluster, do that task's part."""
    from ctrkit.commands.train_task import run_task, task_of

    task = task_of(config)
    if task is not None:
        run_task(config, task)
        return
    train_run(config)
    say(f"next: ctrkit evaluate {hint(config)}")


def train_run(
    config: DictConfig, *, again: Path | None = None, origin: dict[str, Any] | None = None
) -> tuple[Path, TrainingResult]:
    """Train a new run, or go on with the one that was interrupted; returns its folder and result.

    `again` is the run that is repeated, `origin` what is known of where that came from.
    """
    make(config.training)  # Options that cannot be are refused before anything is written.
    with store_beside(config) as store:
        prepared = prepare_log(config)
        name_warm_start(config)
        run_dir = choose_run(config, prepared.fingerprint)
        model = build(config, prepared)
        save_config(config, run_dir)  # Before the tracked run leaves its link there.
        note_origin(config, run_dir, prepared, again=again, before=origin)
        tags = {"ctrkit.run_dir": str(run_dir), **({} if again is None else {"ctrkit.rerun_of": again.name})}
        with tracked_run(config, run_dir, attach=False, tags=tags, store=store) as tracker:
            result = train_tracked(config, model, prepared, run_dir, tracker)
            update_card(config, run_dir, tracker)
    show_result(run_dir, result)
    return run_dir, result


def name_warm_start(config: DictConfig) -> None:
    """Put the folder of the run to start from in the place of its name. Raises as `locate_run`."""
    word = config.training.warm_start
    if word is not None and not Path(word).is_dir():
        config.training.warm_start = str(locate_run(config, str(word)))


def train_tracked(
    config: DictConfig, model: Any, prepared: Prepared, run_dir: Path, tracker: Run, *, observer: Observer | None = None
) -> TrainingResult:
    """Train `model` in `run_dir`, telling `tracker` all of it; an `observer` is told of losses and evaluations in its
    place."""
    from ctrkit.training import train

    tracker.log_params(save_config(config, run_dir))
    tracker.log_index(prepared.index)
    result = train(model, prepared, run_dir, options=make(config.training), observer=observer or tracker)
    log_result(tracker, run_dir, result)
    return result


def show_result(run_dir: Path, result: TrainingResult) -> None:
    """Say what became of a run."""
    say(
        table(
            [
                ("run", str(run_dir)),
                ("steps", f"{result.steps:,} ({result.stopped_because})"),
                ("speed", f"{result.samples_per_second:,.0f} samples/s"),
                *[(f"validation {name}", f"{value:.5g}") for name, value in result.metrics.items()],
            ]
        )
    )


def log_result(tracker: Run, run_dir: Path, result: TrainingResult) -> None:
    """The training's figures that have no step, and its learning curve."""
    from ctrkit.analysis import learning_curve_figure

    tracker.log_metrics(
        {
            "samples_per_second": result.samples_per_second,
            "training_seconds": result.seconds,
            **{f"best_{name}": value for name, value in result.metrics.items()},
        },
        step=result.best_step,
    )
    tracker.set_tags({"ctrkit.stopped_because": result.stopped_because})
    write_json(run_dir / "history.json", finite(result.history))
    if not result.history:  # A run of a few steps, without a validation part.
        return
    picture = run_dir / "learning_curve.png"
    save_figure(learning_curve_figure(result.history), picture)
    tracker.log_file(picture, "figures")


def build(config: DictConfig, prepared: Prepared) -> Any:
    """The configured model: a function or class by its import path, called with the index and its options.

    `label_rate: auto` becomes the share of clicks in the training part. A function that takes `hp` gets keras-tuner's
    HyperParameters with the values of `model.hp`, and its own defaults for the others.
    """
    from ctrkit.models import build_model, takes_hp

    target, options = model_options(config, prepared)
    if not takes_hp(target):
        return build_model(target, prepared.index, **options)
    from ctrkit.tuning import fixed_hyperparameters

    with fixed_hyperparameters(options.pop("hp", None) or {}) as hp:
        return build_model(target, prepared.index, hp=hp, **options)


def model_options(config: DictConfig, prepared: Prepared) -> tuple[str, dict[str, Any]]:
    """Import path and options of the configured model."""
    options = plain(config.model)
    target = options.pop("_target_")
    options.pop("_partial_", None)
    if options.get("label_rate") == "auto":
        rate = 0.0 if prepared.train is None else prepared.train.label_rate
        options["label_rate"] = rate if 0 < rate < 1 else None
    return target, options


def choose_run(config: DictConfig, fingerprint: str) -> Path:
    """An unfinished run of the same configuration and index, else a new one."""
    wanted = _comparable(plain(config))
    known = runs(config)
    if config.run == "new":
        return new_run(config)
    if config.run is not None:
        return Path(config.work_dir) / RUNS / str(config.run)
    if known:
        state = _state(known[-1])
        same = (
            _comparable(plain(run_config(known[-1]))) == wanted and state.get("fingerprint", fingerprint) == fingerprint
        )
        if state.get("status") != "finished" and same:
            say(f"going on with run {known[-1].name} ({state.get('status', 'started')}); type run=new for a fresh one")
            return known[-1]
    return new_run(config)


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config.get(key) for key in ("schema", "data", "model", "training", "seed")}


def _state(run_dir: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
