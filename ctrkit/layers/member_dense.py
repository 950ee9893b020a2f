"""A dense layer for each member of an ensemble, all in one product."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ShapeError
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class MemberDense(tf.keras.layers.Layer):
    """`activation(x[m] @ kernel[m] + bias[m])` for every member m: members share no weight.

    Kernels start from Glorot's uniform distribution, whose width is that of one member's layer.

    Args:
        units: width of each member's output.
        activation: name or function of Keras.
        use_bias: add a bias.
        seed: of the initial kernels; None for different ones in each process.
    Call args:
        inputs: float `(batch, members, features)`.
    Returns:
        float `(batch, members, units)`.
    Raises:
        ShapeError: on build, unless given rank 3 with known members and features.
    """

    def __init__(
        self, units: int, activation: Any = None, *, use_bias: bool = True, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.use_bias, self.seed = int(units), use_bias, seed
        self.activation = tf.keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape)
        if len(shape) != 3 or None in shape[1:]:
            raise ShapeError(
                f"MemberDense: got {shape}, expected (batch, members, features). "
                "Bring vectors there with `SplitMembers(members)([user, item])`."
            )
        _, members, features = shape
        bound = (6 / (features + self.units)) ** 0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(members, features, self.units),
            initializer=tf.keras.initializers.RandomUniform(-bound, bound, seed=self.seed),
        )
        self.bias = (
            self.add_weight(name="bias", shape=(members, self.units), initializer="zeros") if self.use_bias else None
        )
        super().build(input_shape)

    @unconverted
    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        product = tf.einsum("bmf,mfu->bmu", inputs, self.kernel)
        return self.activation(product if self.bias is None else product + self.bias)  # (batch, members, units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": tf.keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "seed": self.seed,
        }
