"""How often values were clicked, as a feature that does not tell a row its own label."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.layers.field_embeddings import phase
from ctrkit.layers.folds import fold_of
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class ClickRates(tf.keras.layers.Layer):
    """Smoothed click rate of each value, in log-odds above those of the whole log (*target encoding*).

    A rate that has a row's own label in it gives that label away, most of all for rare values. While training a row
    therefore sees the rates of the other folds alone (*cross-fitting*): its fold is a hash of its ids, so that rows
    like it are left out, too. In use all folds count. A value that always comes with the same other ids has one fold
    only, so nothing is learned of its rate. And what an embedding remembers of a rare value, less its rate, is its own
    fold's labels: judge a model with rates on rows that come later.

    Args:
        strength: impressions at the log's own rate that are added to those of each value. Try 5 to 50.
        copies: how often to repeat each rate, once for each member of an ensemble.
    Call args:
        inputs: `[user_counts, item_counts, user_ids, item_ids]`: what `ClickCounts` gives, float `(batch, fields,
            2 * folds)`, and all ids of the row, `Inputs.sides`, int32 `(batch, width)`, of which folds are made; the
            batches of the two sides may be 1 and n in use.
        training: whether a row's own fold is left out: whoever writes a training loop has to say so.
    Returns:
        float32 `(batch, fields, copies)` for each side; 0 for a value that nobody counted.
    Raises:
        ConfigError: a strength that is not above 0, or no copy.
        ShapeError: on build, unless given two pairs.
    Source: Micci-Barreca, "A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and
        Prediction Problems", SIGKDD Explorations 2001, with its empirical Bayes as a fixed `strength`.
    """

    def __init__(self, strength: float, *, copies: int = 1, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "trainable": False, "dtype": "float32"})
        if not 0 < strength < math.inf:
            raise ConfigError(f"ClickRates: `strength` is {strength!r}, expected a number > 0, e.g. 10.0.")
        if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
            raise ConfigError(f"ClickRates: `copies` is {copies!r}, expected an integer >= 1.")
        self.strength, self.copies = float(strength), copies

    def build(self, input_shape: Any) -> None:
        shapes = [tuple(shape) for shape in input_shape]
        widths = {shape[2] for shape in shapes[:2] if len(shape) == 3}
        if [len(shape) for shape in shapes] != [3, 3, 2, 2] or len(widths) != 1 or (width := widths.pop()) % 2:
            raise ShapeError(
                f"ClickRates: got {shapes}, expected counts (batch, fields, 2 * folds) and ids (batch, width) of both "
                "sides. Call it as `ClickRates(10.0)([*ClickCounts(index)(inputs), *inputs.sides])`."
            )
        self.folds = width // 2
        # Log-odds of a click in the whole log: found again from a table of counts, but not from a batch of them.
        self.base = self.add_weight(name="base", shape=(), initializer="zeros", trainable=False)
        super().build(input_shape)

    @unconverted
    def call(self, inputs: list[tf.Tensor], training: Any = None) -> list[tf.Tensor]:
        counts, ids = inputs[:2], inputs[2:]
        by_fold = [tf.reshape(side, [tf.shape(side)[0], side.shape[1], self.folds, 2]) for side in counts]
        training = phase(training)
        if tf.is_tensor(training) or training:
            own = tf.one_hot(fold_of(ids, self.folds), self.folds, dtype=self.compute_dtype)  # (batch, folds)
            own *= tf.cast(training, self.compute_dtype)
            by_fold = [side * (1 - own)[:, tf.newaxis, :, tf.newaxis] for side in by_fold]
        return [self._rates(tf.reduce_sum(side, axis=2)) for side in by_fold]

    def _rates(self, counts: tf.Tensor) -> tf.Tensor:
        clicks, others = tf.unstack(counts, axis=2)  # (batch, fields) each
        base = tf.cast(self.base, self.compute_dtype)
        odds = (clicks + self.strength * tf.sigmoid(base)) / (others + self.strength * tf.sigmoid(-base))
        rates = (tf.math.log(odds) - base)[:, :, tf.newaxis]
        return rates if self.copies == 1 else tf.tile(rates, [1, 1, self.copies])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength, "copies": self.copies}
