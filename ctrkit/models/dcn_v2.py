"""DCN V2: explicit crosses of bounded degree beside a tower."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ctrkit.layers import CrossNetwork, Inputs
from ctrkit.layers.layout import IndexLike
from ctrkit.models.parts import click_model, embeddings, logit, with_click_rates
from ctrkit.models.tower import Tower


def dcn_v2(
    index: IndexLike,
    *,
    dim: int = 16,
    depth: int = 2,
    rank: int | None = None,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l2: float = 0.0,
    click_rates: float = 0.0,
    label_rate: float | None = None,
    seed: int = 0,
    name: str = "dcn_v2",
) -> tf.keras.Model:
    """A cross network and a tower in parallel over the same embeddings, joined by the last layer.

    Args:
        index: the `FeatureIndex`.
        dim: length of an embedding.
        depth: number of cross layers.
        rank: factors of each cross layer's matrix; None for a full one.
        hidden: units of the tower's layers.
        activation: of the tower.
        dropout: share of the tower's units zeroed while training.
        batch_norm: normalize the tower's layers.
        l2: weight of the squared embeddings of the rows in a batch.
        click_rates: strength, in impressions, of the smoothing of values' click rates, which both parts read beside the
            embeddings; 0 leaves them out. See `ctrkit.layers.ClickRates`.
        label_rate: share of clicks that the bias starts from; one half when None.
        seed: of the initial weights and of the dropout.
    Returns:
        A model from `ids` int32 `(batch, width)` to `ctr` float32 `(batch, 1)`.
    Raises:
        ConfigError: an option that cannot be.
    Source: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, figure 1b.
    """
    tower = Tower(hidden=hidden, activation=activation, dropout=dropout, batch_norm=batch_norm, seed=seed + 1)
    inputs = Inputs(index)
    vectors = embeddings(index, inputs, dim=dim, l2=l2, seed=seed)
    features = with_click_rates(vectors, index, inputs, strength=click_rates)
    initializer = tf.keras.initializers.GlorotUniform(seed=seed + 100)
    crossed = CrossNetwork(depth, rank=rank, kernel_initializer=initializer, name="crosses")(features)
    both = tf.keras.layers.Concatenate(name="crosses_and_tower")([crossed, tower.over(features)])
    return click_model(inputs, [logit(both, seed=seed)], label_rate=label_rate, name=name)
