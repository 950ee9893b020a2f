"""DeepFM: pairwise interactions and a tower over the same embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from ctrkit.layers import FMInteraction, Inputs
from ctrkit.layers.layout import IndexLike
from ctrkit.models.parts import click_model, embeddings, linear_logit, logit, with_click_rates
from ctrkit.models.tower import Tower


def deepfm(
    index: IndexLike,
    *,
    dim: int = 16,
    hidden: Sequence[int] = (256, 256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l2: float = 0.0,
    click_rates: float = 0.0,
    label_rate: float | None = None,
    seed: int = 0,
    name: str = "deepfm",
) -> tf.keras.Model:
    """A factorization machine (linear and pairwise logits) plus a tower that shares its embeddings.

    Args:
        index: the `FeatureIndex`.
        dim: length of an embedding.
        hidden: units of the tower's layers.
        activation: of the tower.
        dropout: share of the tower's units zeroed while training.
        batch_norm: normalize the tower's layers.
        l2: weight of the squared embeddings and linear weights of the rows in a batch.
        click_rates: strength, in impressions, of the smoothing of values' click rates, which the tower reads beside
            the embeddings; 0 leaves them out. See `ctrkit.layers.ClickRates`.
        label_rate: share of clicks that the bias starts from; one half when None.
        seed: of the initial weights and of the dropout.
    Returns:
        A model from `ids` int32 `(batch, width)` to `ctr` float32 `(batch, 1)`.
    Raises:
        ConfigError: an option that cannot be.
    Source: Guo et al., "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", IJCAI 2017.
    """
    tower = Tower(hidden=hidden, activation=activation, dropout=dropout, batch_norm=batch_norm, seed=seed + 1)
    inputs = Inputs(index)
    vectors = embeddings(index, inputs, dim=dim, l2=l2, seed=seed)
    features = with_click_rates(vectors, index, inputs, strength=click_rates)
    logits = [
        linear_logit(index, inputs, l2=l2),
        FMInteraction(name="fm_logit")(vectors),
        logit(tower.over(features), seed=seed),
    ]
    return click_model(inputs, logits, label_rate=label_rate, name=name)
