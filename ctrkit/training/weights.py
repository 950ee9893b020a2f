"""Put the weights of a run's checkpoint back into a Keras model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from ctrkit.errors import ArtifactError, ConfigError, did_you_mean
from ctrkit.progress import progress
from ctrkit.training.checkpoint import (
    BEST,
    CHECKPOINTS,
    Checkpoint,
    Stamp,
    check_fingerprint,
    check_shapes,
    newest_whole,
)
from ctrkit.training.logical import LogicalName, counts_of, read_whole

_FOLDERS = {"best": BEST, "last": CHECKPOINTS}


def load_weights(
    model: tf.keras.Model, run_dir: str | os.PathLike[str], which: str = "best", *, fingerprint: str | None = None
) -> int:
    """Load the best or the last weights of a run into `model` and return their step.

    Args:
        model: built with the same options as the model that was trained, its weights whole, however many parts they
            were trained in.
        run_dir: the folder given to `train`.
        which: "best" or "last".
        fingerprint: of the feature index that `model` was built for; None leaves it unchecked.
    Raises:
        ConfigError: another `which`.
        ArtifactError: no such checkpoint, a damaged one, or one of a model with other weights.
        IndexMismatchError: the checkpoint was trained with another feature index.
    """
    if which not in _FOLDERS:
        raise ConfigError(f"load_weights: which={which!r}, expected 'best' or 'last'.{did_you_mean(which, _FOLDERS)}")
    folder = Path(run_dir) / _FOLDERS[which]
    found = newest_whole(folder)
    if found is None:
        raise ArtifactError(f"Run {run_dir} has no {which} checkpoint ({folder}). Train it first: `ctrkit train`.")
    checkpoint, stamp = found
    load_checkpoint(model, checkpoint, stamp, fingerprint=fingerprint)
    return stamp.step


def load_checkpoint(
    model: tf.keras.Model, checkpoint: Checkpoint, stamp: Stamp, *, fingerprint: str | None = None
) -> None:
    """Load one checkpoint, whose `stamp` was read before. Raises as `load_weights`."""
    if fingerprint is not None:
        check_fingerprint(stamp, fingerprint, checkpoint.directory)
    check_shapes(stamp, described(model.weights), checkpoint.directory)
    _restore(model, checkpoint, counts_of(stamp.parts))


def described(weights: Sequence[tf.Variable]) -> list[list[Any]]:
    """Shape and dtype of each weight of a whole model, as plain values."""
    return [[list(map(int, weight.shape)), weight.dtype.base_dtype.name] for weight in weights]


def _restore(model: tf.keras.Model, checkpoint: Checkpoint, parts: Mapping[int, int]) -> None:
    """Read one weight at a time: a table may fill a good part of the memory."""
    reader = tf.train.load_checkpoint(checkpoint.prefix)
    with progress("loading weights", total=len(model.weights), unit="weights") as shown:
        for place, weight in enumerate(model.weights):
            weight.assign(read_whole(reader, LogicalName(place), parts.get(place, 1)))
            shown.advance(1, weight.name)
