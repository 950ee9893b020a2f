"""Parts that several models of the zoo begin and end with."""

from __future__ import annotations

import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers import ClickCounts, ClickProbability, ClickRates, FieldEmbeddings, Inputs, SidedConcat, SidedSum
from ctrkit.layers.layout import IndexLike


def linear_logit(index: IndexLike, inputs: Inputs, *, l2: float) -> tf.Tensor:
    """One weight per row, starting at zero, summed over fields: `(batch, 1)` in log-odds."""
    weights = FieldEmbeddings(index, dim=1, l2=l2, initializer="zeros", name="linear")(inputs)
    return SidedSum(name="linear_logit")(weights)


def embeddings(index: IndexLike, inputs: Inputs, *, dim: int, l2: float, seed: int) -> list[tf.Tensor]:
    """Vectors of both sides, `(batch, fields, dim)` each."""
    initializer = tf.keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
    vectors: list[tf.Tensor] = FieldEmbeddings(index, dim=dim, l2=l2, initializer=initializer, name="embeddings")(
        inputs
    )
    return vectors


def with_click_rates(vectors: list[tf.Tensor], index: IndexLike, inputs: Inputs, *, strength: float) -> list[tf.Tensor]:
    """What a tower reads: vectors of both sides and, unless `strength` is 0, the click rates of all values.

    Raises `ConfigError` for a strength below 0.
    """
    rates = click_rates(index, inputs, strength=strength)
    return SidedConcat(name="features")([*vectors, *rates]) if rates else vectors


def click_rates(index: IndexLike, inputs: Inputs, *, strength: float, copies: int = 1) -> list[tf.Tensor]:
    """Click rates of all values, `(batch, fields, copies)` for each side; none of both where `strength` is 0."""
    if not strength >= 0:
        raise ConfigError(f"`click_rates` is {strength!r}, expected a number >= 0, e.g. 10.0, or 0 for none.")
    if strength == 0:
        return []
    counts = ClickCounts(index, name="click_counts")(inputs)
    rates: list[tf.Tensor] = ClickRates(strength, copies=copies, name="click_rates")([*counts, *inputs.sides])
    return rates


def logit(x: tf.Tensor, *, seed: int) -> tf.Tensor:
    """A weighted sum of features without a bias (the head has one): `(batch, 1)` in log-odds."""
    initializer = tf.keras.initializers.GlorotUniform(seed=seed)
    return tf.keras.layers.Dense(1, use_bias=False, kernel_initializer=initializer, name="deep_logit")(x)


def click_model(inputs: Inputs, logits: list[tf.Tensor], *, label_rate: float | None, name: str) -> tf.keras.Model:
    """The model from `ids` to `ctr`."""
    ctr = ClickProbability(label_rate, name="ctr")(logits if len(logits) > 1 else logits[0])
    return tf.keras.Model(inputs.ids, ctr, name=name)
