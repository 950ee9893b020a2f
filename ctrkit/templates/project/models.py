"""Models of this project: functions from the feature index to a `tf.keras.Model`; conf/model/own.yaml names one."""

from __future__ import annotations

import tensorflow as tf
from ctrkit.layers import ClickProbability, FieldEmbeddings, FMInteraction, Inputs, SidedDense, SidedSum


def own_model(index, *, dim=8, hidden=32, label_rate=None, seed=0):
    """A weight for each value, products of all pairs of embeddings, and a small tower. Change it as you like."""
    small = tf.keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
    inputs = Inputs(index)  # The packed ids; the fields of user and context come first, those of the item second.
    vectors = FieldEmbeddings(index, dim=dim, initializer=small)(inputs)  # (batch, fields, dim) for each of the two.
    weights = FieldEmbeddings(index, dim=1, initializer="zeros", name="weights")(inputs)
    tower = SidedDense(hidden, "relu", kernel_initializer=tf.keras.initializers.GlorotUniform(seed + 1))(vectors)
    tower = tf.keras.layers.Dense(hidden, "relu", kernel_initializer=tf.keras.initializers.GlorotUniform(seed + 2))(
        tower
    )
    last = tf.keras.layers.Dense(1, use_bias=False, kernel_initializer=tf.keras.initializers.GlorotUniform(seed + 3))
    logits = [SidedSum()(weights), FMInteraction()(vectors), last(tower)]  # (batch, 1) each, in log-odds.
    return tf.keras.Model(inputs.ids, ClickProbability(label_rate, name="ctr")(logits), name="own_model")
