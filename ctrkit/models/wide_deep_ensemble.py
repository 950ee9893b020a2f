"""An ensemble of wide and deep networks in one model, for logs that are small for the number of their values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from ctrkit.layers import (
    BucketPositions,
    CountedIndex,
    FieldEmbeddings,
    Inputs,
    MemberDense,
    MemberMean,
    Ridge,
    SidedSum,
    SplitMembers,
    rarities,
)
from ctrkit.models import parts
from ctrkit.models.tower import Tower


def wide_deep_ensemble(
    index: CountedIndex,
    *,
    members: int = 8,
    dim: int = 4,
    hidden: Sequence[int] = (32,),
    activation: str = "relu",
    dropout: float = 0.0,
    ridge: float = 20.0,
    click_rates: float = 0.0,
    label_rate: float | None = None,
    seed: int = 0,
    name: str = "wide_deep_ensemble",
) -> tf.keras.Model:
    """The mean logit of `members` wide and deep networks that share their input and nothing else.

    Each has weights, embeddings and a tower of its own, and learns by its own log loss, so that their chance errors
    differ and average out. A rare value is pulled towards zero as its count deserves, which lets the schema keep
    values that were seen once. Towers see the order of numeric buckets as well as their embeddings. Train it with
    log loss, the default.

    Args:
        index: the `FeatureIndex`.
        members: networks; the cost grows with them.
        dim: length of a member's embedding.
        hidden: units of the layers of a member's tower.
        activation: of the towers.
        dropout: share of the towers' units zeroed while training.
        ridge: penalty on rows, in impressions that a value has to outweigh; see `ctrkit.layers.Ridge`.
        click_rates: strength, in impressions, of the smoothing of values' click rates, which all towers read beside
            the embeddings; 0 leaves them out. See `ctrkit.layers.ClickRates`.
        label_rate: share of clicks that the biases start from; one half when None.
        seed: of the initial weights and of the dropout.
    Returns:
        A model from `ids` int32 `(batch, width)` to `ctr` float32 `(batch, 1)`.
    Raises:
        ConfigError: an option that cannot be.
    Source: Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016; Lakshminarayanan et al., "Simple
        and Scalable Predictive Uncertainty Estimation using Deep Ensembles", NIPS 2017.
    """
    tower = Tower(hidden=hidden, activation=activation, dropout=dropout, seed=seed + 1)
    inputs = Inputs(index)
    rarity = _rarity(index, inputs)
    weights = FieldEmbeddings(index, dim=members, initializer="zeros", name="linear")(inputs)
    linear = SidedSum(name="linear_logits")(Ridge(ridge, name="linear_ridge")([*weights, *rarity]))  # (batch, members)
    uniform = tf.keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
    vectors = FieldEmbeddings(index, dim=members * dim, initializer=uniform, name="embeddings")(inputs)
    pairs = Ridge(ridge, name="embeddings_ridge")([*vectors, *rarity])
    positions = BucketPositions.of(index, copies=members, name="positions")
    if positions is not None:
        pairs = [*pairs, *positions(inputs.sides)]
    pairs = [*pairs, *parts.click_rates(index, inputs, strength=click_rates, copies=members)]
    x = SplitMembers(members, name="members")(pairs)  # (batch, members, features)
    logits = tf.keras.layers.Add(name="logits")([linear, _towers(tower, x)])
    start = 0.0 if label_rate is None else math.log(label_rate / (1 - label_rate))
    ctr = tf.keras.layers.Activation("sigmoid", name="ctr")(MemberMean(start, name="mean_logit")(logits))
    return tf.keras.Model(inputs.ids, ctr, name=name)


def _rarity(index: CountedIndex, inputs: Inputs) -> list[tf.Tensor]:
    """One over the count of each row that is read, `(batch, fields, 1)` for each side: weights that never learn."""
    table = FieldEmbeddings(index, dim=1, trainable=False, deduplicate=False, initializer="zeros", name="rarity")
    rarity: list[tf.Tensor] = table(inputs)
    table.set_weights([rarities(index)])
    return rarity


def _towers(tower: Tower, x: tf.Tensor) -> tf.Tensor:
    """One tower over each member's features, `(batch, members, features)` to a logit for each, `(batch, members)`."""
    for number, units in enumerate(tower.hidden, start=1):
        x = MemberDense(units, tower.activation, seed=tower.seed + number - 1, name=f"hidden_{number}")(x)
        if tower.dropout > 0:
            x = tf.keras.layers.Dropout(tower.dropout, seed=tower.seed + number, name=f"dropout_{number}")(x)
    logits = MemberDense(1, use_bias=False, seed=tower.seed - 1, name="deep_logits")(x)  # (batch, members, 1)
    return tf.keras.layers.Reshape((x.shape[1],), name="deep_logit_a_member")(logits)
