"""Which rows of a model's tables no step ever touched: what the optimizer keeps of them is as it was at the start."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.indexing import OOV_ROW, FeatureIndex
from ctrkit.training import TrainingOptions
from ctrkit.training.logical import LogicalName, counts_of, is_by_row, read_whole
from ctrkit.training.warm_start import best_of, fresh_slots, tables_of


def trained_rows(
    model: tf.keras.Model, index: FeatureIndex, run_dir: str | os.PathLike[str], options: TrainingOptions
) -> dict[str, dict[str, Any]]:
    """For each table, by feature: its `known` rows, how many are `untrained`, and whether its `oov` rows were trained.

    Empty for an optimizer that keeps nothing of a row (SGD).

    Args:
        model: as the run's, built for `index`.
        index: that the run was trained with.
        run_dir: the folder given to `train`.
        options: of the run.
    Raises:
        ArtifactError: no whole checkpoint.
    """
    checkpoint, stamp = best_of(run_dir)
    reader, parts = tf.train.load_checkpoint(checkpoint.prefix), counts_of(stamp.parts)
    shapes = reader.get_variable_to_shape_map()
    touched: dict[str, np.ndarray] = {}
    for place, tables in tables_of(model, index).items():
        weight = model.weights[place]
        for slot, first in fresh_slots(model, options, weight).items():
            name = LogicalName(place, slot)
            if not any(str(piece) in shapes for piece in name.pieces(parts.get(place, 1))):
                continue
            kept = read_whole(reader, name, parts.get(place, 1))
            if not is_by_row(kept.shape, weight.shape):
                continue
            moved = (kept != first).reshape(len(kept), -1).any(axis=1)
            start = 0
            for table in tables:
                rows = index[table].rows
                here = moved[start : start + rows]
                touched[table] = here | touched.get(table, np.zeros(rows, dtype=bool))
                start += rows
    return {table: _told(index, table, rows) for table, rows in touched.items()}


def _told(index: FeatureIndex, table: str, touched: np.ndarray) -> dict[str, Any]:
    field = index[table]
    known = touched[OOV_ROW + field.oov :]
    oov = touched[OOV_ROW : OOV_ROW + field.oov]
    return {"known": len(known), "untrained": int((~known).sum()), "oov_trained": bool(oov.any())}
