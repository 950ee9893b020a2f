"""Begin a run where another ended: weights and optimizer slots, moved to where an extended index has their rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ArtifactError, ConfigError
from ctrkit.indexing import FeatureIndex
from ctrkit.progress import progress
from ctrkit.records import Records
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, Checkpoint, Stamp, newest_whole, unwritten
from ctrkit.training.click_counts import click_counts, count_clicks
from ctrkit.training.estimator import optimizer_of
from ctrkit.training.grown_rows import Blocks, ancestor_of, blocks_of, grown, tables_of
from ctrkit.training.logical import GLOBAL_STEP, LogicalName, counts_of, is_by_row, read_whole, slots_of
from ctrkit.training.options import TrainingOptions
from ctrkit.training.recut import TensorWriter
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import writing
from ctrkit.training.weights import described

__all__ = ["begin_from", "best_of", "carry_over", "fresh_slots", "tables_of"]
_FRESH = "Type training.warm_start_slots=false to start with a fresh optimizer."


def carry_over(model: tf.keras.Model, run_dir: str | os.PathLike[str], index: FeatureIndex) -> int:
    """Load a run's best weights into `model`, whose index extends the run's, and return their step.

    Rows move with their values; the row of a new value is the out-of-vocabulary row that it was read through before.
    So every impression has the score that it had.

    Args:
        model: built for `index` with the same options as the model that was trained.
        run_dir: the folder given to `train`.
        index: the extended index, or the run's own.
    Raises:
        ArtifactError: no such checkpoint, a damaged one, or one of another model.
        IndexMismatchError: `index` is no extension of the run's.
    """
    checkpoint, stamp = best_of(run_dir)
    blocks = _blocks(model, index, checkpoint, stamp)
    reader, parts = tf.train.load_checkpoint(checkpoint.prefix), counts_of(stamp.parts)
    with progress("loading weights", total=len(model.weights), unit="weights") as shown:
        for place, weight in enumerate(model.weights):
            value = read_whole(reader, LogicalName(place), parts.get(place, 1))
            weight.assign(grown(value, blocks[place]) if place in blocks else value)
            shown.advance(1, weight.name)
    return stamp.step


def begin_from(
    model: tf.keras.Model,
    run_dir: Path,
    state: RunState,
    index: FeatureIndex,
    records: Records,
    options: TrainingOptions,
    *,
    keep_count: bool = True,
) -> bool:
    """Begin the run in `run_dir` with the weights, and where the options say so the slots, of `options.warm_start`.

    Clicks of the `records`, its training part, are added to those that the earlier run counted.
    With the slots a checkpoint of step 0 is written, for `resume` to find: returns whether it is to be called. New rows
    get the slots of a new optimizer. With `keep_count` the optimizer goes on to count the updates, too, on which Adam's
    rate depends, unless the rates fall over the run's length.

    Raises `ConfigError` when the run was trained with another optimizer, and as `carry_over`.
    """
    if options.warm_start is None:
        count_clicks(model, index, records)
        return False
    carry_over(model, options.warm_start, index)
    _count_on(model, index, records, *best_of(options.warm_start))
    if not options.warm_start_slots:
        return False
    trained, stamp = best_of(options.warm_start)
    blocks = _blocks(model, index, trained, stamp)
    reader = tf.train.load_checkpoint(trained.prefix)
    if keep_count and options.learning_rate_decay is None:
        state.before = int(reader.get_tensor(GLOBAL_STEP))
    directory = run_dir / CHECKPOINTS
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = unwritten(directory, 0)
    with writing(checkpoint), tf.device("cpu"):
        file = TensorWriter(checkpoint.prefix)
        for name, value in _tensors(model, options, reader, counts_of(stamp.parts), blocks):
            file.add(name, value)
        file.add(GLOBAL_STEP, np.array(state.before, dtype=np.int64))
        file.close()
        checkpoint.seal(
            Stamp(step=0, fingerprint=index.fingerprint, weights=described(model.weights), state=state.to_dict())
        )
    return True


def _count_on(
    model: tf.keras.Model, index: FeatureIndex, records: Records, checkpoint: Checkpoint, stamp: Stamp
) -> None:
    """Count clicks on from those carried over, but those of new values, which had the ones of a row that they left."""
    if not click_counts(model):
        return
    blocks = _blocks(model, index, checkpoint, stamp)
    counts = {id(layer.table) for layer in click_counts(model)}
    for place, weight in enumerate(model.weights):
        if id(weight) in counts and place in blocks:
            table = weight.numpy()
            for block in blocks[place]:
                table[block.new + block.kept :][: block.added] = 0
            weight.assign(table)
    count_clicks(model, index, records, add=True)


def best_of(run_dir: str | os.PathLike[str]) -> tuple[Checkpoint, Stamp]:
    """A run's best checkpoint. Raises `ArtifactError` when there is none, or it is damaged."""
    found = newest_whole(Path(run_dir) / BEST)
    if found is None:
        raise ArtifactError(f"Run {run_dir} has no best checkpoint ({Path(run_dir) / BEST}). Train it first.")
    return found


def _blocks(model: tf.keras.Model, index: FeatureIndex, checkpoint: Checkpoint, stamp: Stamp) -> Blocks:
    ancestor = ancestor_of(index, stamp.fingerprint, checkpoint.directory)
    return blocks_of(model, index, ancestor, stamp.weights, checkpoint.directory)


def _tensors(
    model: tf.keras.Model, options: TrainingOptions, reader: Any, parts: dict[int, int], blocks: Blocks
) -> Iterator[tuple[str, np.ndarray]]:
    """All that a checkpoint of the new run holds but the count of steps; `model` holds the weights already."""
    kept: dict[int, set[str]] = {}
    for text in sorted(reader.get_variable_to_shape_map()):
        name = LogicalName.parse(text)
        if name is None:
            if text != GLOBAL_STEP:
                yield text, np.asarray(reader.get_tensor(text))
        elif name.slot is not None:
            kept.setdefault(name.weight, set()).add(name.slot)
    for place, weight in enumerate(model.weights):
        yield str(LogicalName(place)), weight.numpy()
        slots = kept.get(place, set())
        fresh = fresh_slots(model, options, weight)
        if _is_trained(model, weight) and slots != set(fresh):
            raise ConfigError(
                f"Run {options.warm_start} keeps {sorted(slots) or 'nothing'} of weight {place} ({weight.name}), this "
                f"run's optimizer {sorted(fresh) or 'nothing'}: it is another optimizer. {_FRESH}"
            )
        for slot in sorted(slots):
            whole = replace(LogicalName(place), slot=slot)
            value = read_whole(reader, whole, parts.get(place, 1))
            if place in blocks and is_by_row(value.shape, [sum(block.kept for block in blocks[place])]):
                value = grown(value, blocks[place], fresh[slot])
            yield str(whole), value


def fresh_slots(model: tf.keras.Model, options: TrainingOptions, weight: tf.Variable) -> dict[str, np.ndarray]:
    """One row of what a new optimizer keeps of a weight, by slot; nothing of one that is not trained."""
    if not _is_trained(model, weight):
        return {}
    optimizer = optimizer_of(model, options)
    shape = [1, *weight.shape[1:]] if weight.shape.rank else []
    row = tf.Variable(tf.zeros(shape, weight.dtype.base_dtype), name=weight.name.partition(":")[0])
    optimizer._create_all_weights([row])
    return {slot: kept.numpy() for slot, kept in slots_of(optimizer, row)}


def _is_trained(model: tf.keras.Model, weight: tf.Variable) -> bool:
    return any(weight is one for one in model.trainable_weights)  # A layer can be kept from training, not its weight.
