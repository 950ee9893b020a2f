"""Count clicks of all values in the training part, for a model that reads click rates."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from ctrkit.errors import IndexMismatchError
from ctrkit.indexing import FeatureIndex
from ctrkit.layers import ClickCounts, ClickRates, fold_of
from ctrkit.layers.layout import MISSING_ROW
from ctrkit.progress import progress
from ctrkit.records import Records

DENSE = 8  # Sorting the cells of a batch takes about as long as adding up so many times as many.
BATCH_ROWS = 65_536  # Sums of so many rows at a time keep float32 exact to a few parts in ten million.


def count_clicks(model: tf.keras.Model, index: FeatureIndex, records: Records, *, add: bool = False) -> None:
    """Fill the tables of `ctrkit.layers.ClickCounts` in `model`, as `train` does before the first step.

    One pass over the records, at some hundred thousand rows a second; nothing where the model has no such table. Call
    it before `model.fit`; `ctrkit.train` starts over with its own training part. A weighted impression counts as its
    weight, padding of sequences not at all.

    Args:
        model: built for `index`.
        index: of the records.
        records: the training part. Never rows that the model is to be judged by: their labels would be in its weights.
        add: add to what the tables hold instead of starting over, for rows that come after those counted before.
    Raises:
        CorruptRecordsError: a damaged shard.
        IndexMismatchError: the records were made with another index.
    """
    layers = click_counts(model)
    if not layers:
        return
    if records.fingerprint != index.fingerprint:
        raise IndexMismatchError(
            f"The records in {records.directory} were made with index {records.fingerprint[:12]}, the index at hand is "
            f"{index.fingerprint[:12]}: clicks would count for unrelated values. Give the index of these records."
        )
    tables = [layer.table.numpy() if add else np.zeros(layer.table.shape, "float32") for layer in layers]
    with progress("counting clicks", total=records.rows) as shown:
        for batch in records.batches(BATCH_ROWS):
            for layer, table in zip(layers, tables, strict=True):
                _count(layer, table, batch, index.user_width)
            shown.advance(len(batch["label"]))
    for layer, table in zip(layers, tables, strict=True):
        layer.table.assign(table)
    clicks, others = _totals(layers[0], tables[0])
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, ClickRates):
            layer.base.assign(math.log((clicks + 0.5) / (others + 0.5)))


def click_counts(model: tf.keras.Model) -> list[ClickCounts]:
    """The layers of `model` that hold counts."""
    return [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, ClickCounts)]


def _totals(layer: ClickCounts, table: np.ndarray) -> tuple[float, float]:
    """Clicks and others of a field that every impression has one value of; of all fields where there is none."""
    places = sorted((*layer.layout.user, *layer.layout.item), key=lambda place: place.offset)
    ends = [*(place.offset for place in places[1:]), layer.layout.rows]
    single = [slice(place.offset, end) for place, end in zip(places, ends, strict=True) if not place.pooled]
    counted = table[single[0]] if single else table
    return float(counted[:, ::2].sum(dtype="float64")), float(counted[:, 1::2].sum(dtype="float64"))


def _count(layer: ClickCounts, table: np.ndarray, batch: dict[str, np.ndarray], user_width: int) -> None:
    """Add the rows of a batch to a table."""
    layout, ids, label = layer.layout, batch["ids"], batch["label"][:, 0]
    weight = batch["weight"][:, 0] if "weight" in batch else np.ones_like(label)
    flat = table.reshape(-1, 2)  # A cell for each row and fold.
    fold = fold_of([tf.constant(ids)], layer.folds).numpy()
    for side, places in ((ids[:, :user_width], layout.user), (ids[:, user_width:], layout.item)):
        for place in places:
            for column in range(place.start, place.start + place.length):
                rows = side[:, column]
                counted = rows != MISSING_ROW if place.pooled else np.ones(len(rows), bool)
                cells = (place.offset + rows[counted].astype(np.int64)) * layer.folds + fold[counted]
                _add(flat, cells, label[counted], weight[counted])


def _add(flat: np.ndarray, cells: np.ndarray, label: np.ndarray, weight: np.ndarray) -> None:
    """Add impressions to cells `[clicks, others]`; in time and memory of the impressions, however large a table is."""
    if not len(cells):
        return
    first, last = int(cells.min()), int(cells.max())
    if last - first < DENSE * len(cells):
        used, places = slice(first, last + 1), cells - first
    else:
        used, places = np.unique(cells, return_inverse=True)
    for kind, clicked in enumerate((label, 1 - label)):
        flat[used, kind] += np.bincount(places, clicked * weight)
