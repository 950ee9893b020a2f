"""Count clicks of all values in the training part, for a model that reads click rates."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from ctrkit.indexing import FeatureIndex
from ctrkit.layers import ClickCounts, ClickRates, fold_of
from ctrkit.progress import progress
from ctrkit.records import Records

BATCH_ROWS = 65_536  # Sums of so many rows at a time keep float32 exact to a few parts in ten million.


def count_clicks(model: tf.keras.Model, index: FeatureIndex, records: Records, *, add: bool = False) -> None:
    """Fill the tables of `ctrkit.layers.ClickCounts` in `model`, as `train` does before the first step.

    One pass over the records, at some hundred thousand rows a second; nothing where the model has no such table. Call
    it before `model.fit`. A weighted impression counts as its weight.

    Args:
        model: built for `index`.
        index: of the records.
        records: the training part. Never rows that the model is to be judged by: their labels would be in its weights.
        add: add to what the tables hold instead of starting over, for rows that come after those counted before.
    Raises:
        CorruptRecordsError: a damaged shard.
    """
    layers = click_counts(model)
    if not layers:
        return
    tables = [layer.table.numpy() if add else np.zeros(layer.table.shape, "float32") for layer in layers]
    with progress("counting clicks", total=records.rows) as shown:
        for batch in records.batches(BATCH_ROWS):
            for layer, table in zip(layers, tables, strict=True):
                _count(layer, table, batch, index.user_width)
            shown.advance(len(batch["label"]))
    for layer, table in zip(layers, tables, strict=True):
        layer.table.assign(table)
    clicks, others = (float(tables[0][:, kind::2].sum(dtype="float64")) for kind in (0, 1))
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, ClickRates):
            layer.base.assign(math.log((clicks + 0.5) / (others + 0.5)))


def click_counts(model: tf.keras.Model) -> list[ClickCounts]:
    """The layers of `model` that hold counts."""
    return [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, ClickCounts)]


def _count(layer: ClickCounts, table: np.ndarray, batch: dict[str, np.ndarray], user_width: int) -> None:
    """Add the rows of a batch to a table."""
    layout, ids, label = layer.layout, batch["ids"], batch["label"][:, 0]
    weight = batch["weight"][:, 0] if "weight" in batch else np.ones_like(label)
    fold = fold_of([tf.constant(ids)], layer.folds).numpy()
    for side, places in ((ids[:, :user_width], layout.user), (ids[:, user_width:], layout.item)):
        for place in places:
            for column in range(place.start, place.start + place.length):
                rows = int(side[:, column].max()) + 1
                cell = side[:, column] * np.int64(layer.folds) + fold
                for kind, counted in enumerate((label, 1 - label)):
                    sums = np.bincount(cell, counted * weight, minlength=rows * layer.folds)
                    table[place.offset : place.offset + rows, kind::2] += sums.reshape(rows, layer.folds)
