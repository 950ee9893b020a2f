"""The placement that every task of a cluster computes alike: from the model, the index and the options."""

from __future__ import annotations

import tensorflow as tf

from ctrkit.indexing import FeatureIndex
from ctrkit.training.cluster.placement.items import items_of, slots_of
from ctrkit.training.cluster.placement.model_shapes import describe_weights
from ctrkit.training.cluster.placement.plan import Plan, plan
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
    items = items_of(
        describe_weights(model),
        index,
        batch_size=batch_size,
        table_slots=slots_of(options.table_optimizer, options.table_options),
        dense_slots=slots_of(options.dense_optimizer, options.dense_options),
    )
    return plan(items, ps, strategy)
