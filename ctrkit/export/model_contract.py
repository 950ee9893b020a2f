"""What a Keras model must be to be served: one int tensor of ids in, one probability a row out."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ctrkit.errors import ExportError, IndexMismatchError
from ctrkit.export.manifest import Golden
from ctrkit.export.signatures import click_probability
from ctrkit.indexing import FeatureIndex
from ctrkit.layers import KnownRows
from ctrkit.reasons import reason_of


def check_model(model: tf.keras.Model, index: FeatureIndex) -> None:
    """Raise unless `model` takes the `ids` of `index`."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        raise ExportError(
            f"Model {model.name!r} has {len(inputs)} inputs, expected one, `ids`. Build it on `inputs = Inputs(index)` "
            "and return `tf.keras.Model(inputs.ids, ctr)`."
        )
    for tensor in inputs:
        if tensor.shape.rank != 2 or tensor.shape[1] not in (None, index.width):
            raise IndexMismatchError(
                f"Model {model.name!r} takes ids of shape {tensor.shape}, the index gives (None, {index.width}): it "
                "was built for another index. Export it with the index that it was trained with."
            )
        if not tensor.dtype.is_integer:
            raise ExportError(
                f"Model {model.name!r} takes {tensor.dtype.name} ids, expected int32: large ids would be rounded to "
                "their neighbours. Declare `tf.keras.Input((width,), dtype=tf.int32)`, or build on `Inputs(index)`."
            )
    expected = index.rows_per_column.tolist()
    for layer in model.submodules:
        if isinstance(layer, KnownRows) and layer.rows not in (
            expected[: index.user_width],
            expected[index.user_width :],
        ):
            raise IndexMismatchError(
                f"Model {model.name!r} was built for tables of other sizes than index {index.fingerprint[:12]} has: "
                "its rows would mean other values. Export it with the index that it was trained with."
            )


def golden_scores(model: tf.keras.Model, ids: np.ndarray) -> Golden:
    """Score rows by the Keras model. Raises `ExportError` unless all are probabilities."""
    try:
        scores = click_probability(model, tf.constant(ids)).numpy()
    except tf.errors.OpError as error:
        raise ExportError(
            f"Model {model.name!r} cannot score rows of this index ({reason_of(error)}). Was it built for "
            "another index? Export it with the one that it was trained with."
        ) from error
    if not np.isfinite(scores).all():
        raise ExportError(
            f"Model {model.name!r} gives {scores[~np.isfinite(scores)][0]} for a row of the log: its weights are "
            "broken. Load its best checkpoint (`ctrkit.load_weights(model, run_dir)`), or train again."
        )
    if scores.min() < 0 or scores.max() > 1:
        raise ExportError(
            f"Model {model.name!r} gives scores from {scores.min():.4g} to {scores.max():.4g}, expected probabilities "
            "in [0, 1]: they look like logits. End the model with `ClickProbability(name='ctr')(logit)`."
        )
    return Golden.of(ids, scores)
