"""A search of seconds: a model function that asks `hp`, on a log made on the spot."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

NAME = "tiny"
MODEL = """
import tensorflow as tf

from ctrkit.layers import ClickProbability, FieldEmbeddings, Inputs


def tower(index, hp, dim=2):
    glorot = tf.keras.initializers.GlorotUniform(seed=1)
    inputs = Inputs(index)
    sides = FieldEmbeddings(index, dim=dim, initializer=tf.keras.initializers.RandomUniform(seed=2))(inputs)
    hidden = tf.keras.layers.Concatenate()([tf.keras.layers.GlobalAveragePooling1D()(side) for side in sides])
    hidden = tf.keras.layers.Dense(hp.Int("units", 4, 16, step=4), "relu", kernel_initializer=glorot)(hidden)
    if hp.Choice("deep", [True, False]):
        activation = hp.Choice("activation", ["relu", "tanh"])
        hidden = tf.keras.layers.Dense(4, activation, kernel_initializer=glorot)(hidden)
    logit = tf.keras.layers.Dense(1, kernel_initializer=glorot)(hidden)
    return tf.keras.Model(inputs.ids, ClickProbability(name="ctr")(logit))
"""


def write_model(folder: Path) -> str:
    """A module of its own name, as modules are imported once; returns the model's import path."""
    name = f"tiny_models_{random.getrandbits(48):x}"
    (folder / f"{name}.py").write_text(MODEL)
    return f"{name}.tower"


def words(model: str, *more: str, rows: int = 3000) -> Sequence[str]:
    """What to type after `ctrkit tune`."""
    return [
        f"name={NAME}",
        f"data.build.rows={rows}",
        "model=custom",
        f"model._target_={model}",
        "training.batch_size=256",
        "training.early_stopping=null",
        "tuning=random",
        "tuning.trials=2",
        "tuning.prune=false",
        "tuning.space={training.table_learning_rate:{float:[0.01,0.3],log:true}}",
        *more,
    ]
