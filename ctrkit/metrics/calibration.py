"""Calibration while training: predicted over observed clicks."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("ctrkit")
class PCOC(tf.keras.metrics.Metric):
    """Sum of scores over sum of labels, both weighted, since the last reset; 0 while there is no click.

    1 is calibrated, above 1 promises too many clicks. Sums are float64: float32 stops counting at 16 million rows.
    """

    def __init__(self, name: str = "pcoc", **kwargs: Any) -> None:
        super().__init__(name=name, **{"dtype": tf.float64, **kwargs})
        self.predicted = self.add_weight("predicted", initializer="zeros")
        self.observed = self.add_weight("observed", initializer="zeros")

    @tf.autograph.experimental.do_not_convert
    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        label, score = (tf.reshape(tf.cast(values, self.dtype), [-1]) for values in (y_true, y_pred))
        if sample_weight is not None:
            weight = tf.reshape(tf.cast(sample_weight, self.dtype), [-1])
            label, score = label * weight, score * weight
        predicted = self.predicted.assign_add(tf.reduce_sum(score))
        with tf.control_dependencies([predicted]):
            return self.observed.assign_add(tf.reduce_sum(label))

    @tf.autograph.experimental.do_not_convert
    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(self.predicted, self.observed)
