"""AUC while training, in one pass and a few kilobytes, precise at click rates of a thousandth too."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ConfigError

LOGIT_RANGE = 16.0  # Log-odds; beyond it scores (1e-7 and its mirror) share the last buckets.


@tf.keras.utils.register_keras_serializable("ctrkit")
class StreamingAUC(tf.keras.metrics.Metric):
    """Area under the ROC curve from histograms of the scores' log-odds; scores within one bucket count as ties.

    Keras' AUC cuts `[0, 1]` into 200 equal steps, of which a model that predicts 1% clicks uses a handful. Equal steps
    of log-odds resolve small probabilities as finely as large ones. With the default buckets (0.004 wide) the result
    is within about 1e-4 of the exact one; `ctrkit.metrics.auc` is exact.

    Args:
        buckets: of log-odds between -16 and 16.
    Raises:
        ConfigError: fewer than 2 buckets.
    """

    def __init__(self, buckets: int = 8192, name: str = "auc", **kwargs: Any) -> None:
        super().__init__(name=name, **{"dtype": tf.float64, **kwargs})
        if isinstance(buckets, bool) or not isinstance(buckets, int) or buckets < 2:
            raise ConfigError(f"StreamingAUC: `buckets` is {buckets!r}, expected an integer >= 2, e.g. 8192.")
        self.buckets = buckets
        self.clicked = self.add_weight("clicked", shape=(buckets,), initializer="zeros")
        self.passed = self.add_weight("passed", shape=(buckets,), initializer="zeros")

    @tf.autograph.experimental.do_not_convert
    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        label, score = (tf.reshape(tf.cast(values, self.dtype), [-1]) for values in (y_true, y_pred))
        weight = tf.ones_like(label) if sample_weight is None else tf.reshape(tf.cast(sample_weight, self.dtype), [-1])
        weight = tf.broadcast_to(weight, tf.shape(label))
        logit = tf.math.log(score) - tf.math.log1p(-score)  # Infinite at 0 and 1: clipped into the last buckets.
        place = tf.clip_by_value((logit / LOGIT_RANGE + 1.0) / 2.0, 0.0, 1.0)
        bucket = tf.minimum(tf.cast(place * self.buckets, tf.int32), self.buckets - 1)
        clicked = self.clicked.assign_add(tf.math.unsorted_segment_sum(label * weight, bucket, self.buckets))
        with tf.control_dependencies([clicked]):
            passed = tf.math.unsorted_segment_sum((1.0 - label) * weight, bucket, self.buckets)
            return self.passed.assign_add(passed)

    @tf.autograph.experimental.do_not_convert
    def result(self) -> tf.Tensor:
        below = tf.cumsum(self.passed, exclusive=True)
        won = tf.reduce_sum(self.clicked * (below + 0.5 * self.passed))
        return tf.math.divide_no_nan(won, tf.reduce_sum(self.clicked) * tf.reduce_sum(self.passed))

    def reset_state(self) -> None:
        zeros = np.zeros(self.buckets)
        tf.keras.backend.batch_set_value([(variable, zeros) for variable in self.variables])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "buckets": self.buckets}
