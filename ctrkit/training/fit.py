"""Train a Keras model through its Estimator: start, resume, stop, and hand the best weights back."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError, NanLossError, ShapeError
from ctrkit.indexing import FeatureIndex
from ctrkit.progress import progress
from ctrkit.records import Records
from ctrkit.training import nan_batch
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, checkpoints
from ctrkit.training.early_stopping import EarlyStopping
from ctrkit.training.estimator import build_estimator, quiet_tensorflow, run_config
from ctrkit.training.interrupt import StopRequest, stop_requests
from ctrkit.training.keras_classes import keras_classes_kept
from ctrkit.training.loop import Observer, Plan, TrainingLoop
from ctrkit.training.options import TrainingOptions
from ctrkit.training.resume import check_same_run, facts_of, resume
from ctrkit.training.run_file import FAILED, FINISHED, RunFile, locked
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter
from ctrkit.training.warm_start import begin_from
from ctrkit.training.weights import described, load_weights

EVALUATIONS_PER_EPOCH = 4  # Where the options name no number of steps.
_log = logging.getLogger(__name__)


class TrainingData(Protocol):
    """What a run reads; `ctrkit.records.Prepared` is one."""

    @property
    def index(self) -> FeatureIndex: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def train(self) -> Records | None: ...
    @property
    def validation(self) -> Records | None: ...


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What became of a run."""

    steps: int  # Updates done.
    rows: int  # That they read, repetitions counted.
    seconds: float  # Of all processes of the run, from the call of `train` to its last checkpoint.
    samples_per_second: float  # Of the steps alone, without the first of each process.
    best_step: int  # Whose weights the model now holds.
    metrics: dict[str, float]  # Of the validation part at the best step; empty without such a part.
    history: list[dict[str, float]]  # Reports in order: `step` with `loss` or `validation_*`.
    stopped_because: str  # "epochs", "max_steps" or "early_stopping".
    resumed_from: int | None = None  # Step at which this process took over.


def train(
    model: tf.keras.Model,
    prepared: TrainingData,
    run_dir: str | os.PathLike[str],
    *,
    options: TrainingOptions | None = None,
    observer: Observer | None = None,
) -> TrainingResult:
    """Train `model` on the training part until the options or the validation part say stop.

    Training goes through `tf.keras.estimator.model_to_estimator` on a clone; at the end `model` itself holds the best
    weights. A run that was killed, interrupted or failed goes on from its last checkpoint when `train` is called again
    with the same folder, and gives the numbers that an undisturbed run gives. A finished run is not trained again
    unless the options ask for more steps.

    Args:
        model: functional, from `ids` int32 `(batch, width)` to a probability `(batch, 1)`. If it is compiled its
            optimizer and loss are used, else those of the options and log loss.
        prepared: index and records.
        run_dir: folder of the run: `run.json`, `checkpoints/` and `best/`.
        options: see `TrainingOptions`.
        observer: told of losses and evaluations as they come.
    Raises:
        ArtifactError: no training rows, damaged checkpoints, a full disk.
        ConfigError: a model that cannot be converted, or options that contradict the run that is resumed.
        CorruptRecordsError: a damaged shard.
        IndexMismatchError: the run, or the run to start from, belongs to another feature index.
        NanLossError: the loss is not a number; the message names the batch.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the step is done and a checkpoint written.
        TrainingError: another process trains in `run_dir`.
    """
    options = TrainingOptions() if options is None else options
    run_dir = Path(run_dir).absolute()
    records = training_records(model, prepared)
    with locked(run_dir):
        file = RunFile(run_dir)
        facts = facts_of(prepared.fingerprint, records, options)
        check_same_run(file.read(), facts, run_dir)
        plan = plan_of(records, options)
        state = RunState(stopping_of(options, prepared))
        resumed = resume(model, run_dir, state, prepared.fingerprint)
        resumed_from = state.step if resumed else None
        with failure_noted(file, state):
            if state.step < plan.steps and not (resumed and state.stopping.is_over):
                if not resumed and begin_from(model, run_dir, state, prepared.index, records, options):
                    resume(model, run_dir, state, prepared.fingerprint)
                file.begin(**facts)
                _run(model, prepared, run_dir, options, plan, state, observer)
            result = _finish(model, run_dir, plan, state, options, prepared.fingerprint, resumed_from)
        summary = {name: value for name, value in vars(result).items() if name != "history"}
        file.update(status=FINISHED, reason=None, step=state.step, result=summary)
    return result


# --- before ---------------------------------------------------------------------------------------------------------


def training_records(model: tf.keras.Model, prepared: TrainingData) -> Records:
    """The records to train on. Raises as `train` when there are none, or `model` does not fit them."""
    records = prepared.train
    if records is None or records.rows == 0:
        raise ArtifactError("There are no training rows. Prepare a log first: `ctrkit prepare`.")
    if records.fingerprint != prepared.index.fingerprint:
        raise IndexMismatchError(
            f"The records in {records.directory} were made with index {records.fingerprint[:12]}, the index at hand is "
            f"{prepared.index.fingerprint[:12]}. Prepare again: `ctrkit prepare`."
        )
    width = getattr(model, "input_shape", (None, None))[-1]
    if width != records.width:
        raise ShapeError(
            f"Model {model.name!r} takes ids of width {width}, the records have {records.width} columns. Build the "
            "model with the index of these records."
        )
    return records


def plan_of(records: Records, options: TrainingOptions) -> Plan:
    """The steps that the options ask for."""
    epoch = records.steps_per_epoch(options.batch_size)
    steps = epoch * options.epochs
    steps = steps if options.max_steps is None else min(steps, options.max_steps)
    return Plan(
        steps=steps,
        batch_size=options.batch_size,
        evaluate_every=options.evaluate_every or max(1, epoch // EVALUATIONS_PER_EPOCH),
        evaluation_batch_size=options.evaluation_batch_size,
        checkpoint_every=options.checkpoint_every,
        log_every=options.log_every,
    )


def stopping_of(options: TrainingOptions, prepared: TrainingData) -> EarlyStopping:
    """What picks the best step. Raises `ConfigError` for a metric that the records do not give."""
    validation = prepared.validation
    if validation is None:
        return EarlyStopping(metric=None, patience=None)
    if options.early_stopping == "grouped_auc" and not validation.has_group:
        raise ConfigError(
            "training.early_stopping=grouped_auc, but the records have no groups. Name a `group:` column in the "
            "schema, or take auc."
        )
    return EarlyStopping(metric=options.early_stopping, patience=options.patience)


# --- while ----------------------------------------------------------------------------------------------------------


def _run(
    model: tf.keras.Model,
    prepared: TrainingData,
    run_dir: Path,
    options: TrainingOptions,
    plan: Plan,
    state: RunState,
    observer: Observer | None,
) -> None:
    """Train from `state.step` on, until the plan ends or something stops it."""
    records, start = prepared.train, state.step
    assert records is not None

    def batches(skip: int) -> tf.data.Dataset:
        return records.dataset(
            options.batch_size, shuffle=True, seed=options.seed, epochs=options.epochs, skip_batches=skip
        )

    def explain_nan(step: int, loss: float, scores: np.ndarray) -> Exception:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            batch = session.run(tf.compat.v1.data.make_one_shot_iterator(batches(step - 1).take(1)).get_next())
        epoch = 1 + (step - 1) // records.steps_per_epoch(options.batch_size)
        return NanLossError(nan_batch.describe(batch, scores, prepared.index, step=step, epoch=epoch, loss=loss))

    writer = CheckpointWriter(
        run_dir,
        keep=options.keep_checkpoints,
        fingerprint=prepared.fingerprint,
        weights=described(model.weights),
    )
    rows_left = min(records.rows * options.epochs, plan.steps * options.batch_size) - state.rows
    with ExitStack() as stack:
        stop: StopRequest = stack.enter_context(stop_requests())
        stack.enter_context(records.explained())
        stack.enter_context(quiet_tensorflow())
        stack.enter_context(keras_classes_kept())

        loop = TrainingLoop(
            plan,
            state,
            writer=writer,
            validation=prepared.validation,
            stop=stop,
            start_progress=lambda: stack.enter_context(progress("training", total=rows_left)),
            observer=observer,
            explain_nan=explain_nan,
        )
        config = run_config(options, run_dir / CHECKPOINTS)
        estimator = build_estimator(model, options, config, steps=plan.steps, on_graph=loop.use)
        estimator.train(lambda: batches(start), hooks=[loop])
    if stop and state.step < plan.steps and not state.stopping.is_over:
        raise KeyboardInterrupt(
            f"{stop.signal_name} after step {state.step:,}; the checkpoint of that step is written. Run the same "
            "command again to go on."
        )


@contextmanager
def failure_noted(file: RunFile, state: RunState) -> Iterator[None]:
    """Write into run.json why a run failed."""
    try:
        yield
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        try:
            file.update(status=FAILED, step=state.step, reason=reason)
        except OSError as second:  # Most likely the disk is full, which `error` says already.
            _log.warning("Cannot note the failure in %s: %s", file.path, second)
        raise


# --- after ----------------------------------------------------------------------------------------------------------


def _finish(
    model: tf.keras.Model,
    run_dir: Path,
    plan: Plan,
    state: RunState,
    options: TrainingOptions,
    fingerprint: str,
    resumed_from: int | None,
) -> TrainingResult:
    best_step = load_weights(model, run_dir, fingerprint=fingerprint)
    best = checkpoints(run_dir / BEST)[0].stamp().state["stopping"]
    if state.stopping.is_over and state.step < plan.steps:
        reason = "early_stopping"
    else:
        reason = "max_steps" if options.max_steps is not None and plan.steps == options.max_steps else "epochs"
    return TrainingResult(
        steps=state.step,
        rows=state.rows,
        seconds=state.seconds,
        samples_per_second=state.samples_per_second,
        best_step=best_step,
        metrics=dict(best["best_metrics"]),
        history=list(state.history),
        stopped_because=reason,
        resumed_from=resumed_from,
    )
