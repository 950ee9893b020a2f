"""The placement that every task of a cluster computes alike: from a model, the index and the options."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ctrkit.indexing import FeatureIndex
from ctrkit.training.cluster.placement.items import WeightShape, items_of, slots_of
from ctrkit.training.cluster.placement.model_shapes import describe_weights
from ctrkit.training.cluster.placement.plan import Plan, plan
from ctrkit.training.cluster.placement.shard import Item
from ctrkit.training.options import TrainingOptions


def planned(
    model: tf.keras.Model,
    index: FeatureIndex,
    *,
    batch_size: int,
    options: TrainingOptions,
    ps: int,
    strategy: str,
) -> Plan:
    """Plan where the variables of `model` and its optimizer lie."""
    return plan(items_to_place(describe_weights(model), index, batch_size=batch_size, options=options), ps, strategy)


def items_to_place(
    weights: Sequence[WeightShape], index: FeatureIndex, *, batch_size: int, options: TrainingOptions
) -> list[Item]:
    """A model's variables with the slots of the options' optimizers, and what a step of one worker reads of them.

    `batch_size` is the rows of one worker's part of a step.
    """
    return items_of(
        weights,
        index,
        batch_size=batch_size,
        table_slots=slots_of(options.table_optimizer, options.table_options),
        dense_slots=slots_of(options.dense_optimizer, options.dense_options),
    )
