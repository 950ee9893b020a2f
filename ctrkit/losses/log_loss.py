"""Log loss of click probabilities."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError


@tf.keras.utils.register_keras_serializable("ctrkit")
class LogLoss(tf.keras.losses.Loss):
    """Mean negative log-likelihood of the labels, in nats, computed from the logits where Keras can find them.

    Row weights (`sample_weight`, the schema's weight column) multiply a row's loss; the mean is over rows, so weights
    with a mean of 1 keep the scale of the loss and of the learning rate.

    Args:
        positive_weight: factor of the rows with a click. Anything but 1 makes the model promise more or fewer clicks
            than there are (PCOC leaves 1).
    Call args:
        y_true: 0 or 1, `(batch, 1)`.
        y_pred: probabilities, `(batch, 1)`.
    Raises:
        ConfigError: `positive_weight` is not a number > 0.
    """

    def __init__(self, positive_weight: float = 1.0, name: str = "log_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if isinstance(positive_weight, bool) or not positive_weight > 0:
            raise ConfigError(f"LogLoss: `positive_weight` is {positive_weight!r}, expected a number > 0, e.g. 1.0.")
        self.positive_weight = float(positive_weight)

    @tf.autograph.experimental.do_not_convert
    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        y_true = tf.cast(y_true, y_pred.dtype)
        losses = tf.keras.backend.binary_crossentropy(y_true, y_pred)  # (batch, 1)
        if self.positive_weight != 1:
            losses = losses * (1.0 + (self.positive_weight - 1.0) * y_true)
        return tf.reduce_mean(losses, axis=-1)  # (batch,)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "positive_weight": self.positive_weight}
