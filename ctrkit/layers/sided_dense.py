"""A first dense layer that multiplies the user's half once, however many candidates there are."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.layers.sides import check_pair, flat, present
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class SidedDense(tf.keras.layers.Layer):
    """`activation([user, item] @ kernel + bias)` without concatenating: each side has its own rows of the kernel.

    With a user batch of 1 and n candidates the user's product is computed once and broadcast.

    Args:
        units: width of the output.
        activation: name or function of Keras.
        use_bias: add a bias.
        kernel_initializer: Keras initializer of the whole kernel, so that fan-in counts both sides.
    Call args:
        inputs: `[user, item]`, each float `(batch, features)` or `(batch, fields, dim)`; the batches may be 1 and n.
    Returns:
        float `(batch, units)` with the larger batch.
    Raises:
        ShapeError: on build, unless given a pair of known widths.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.use_bias = int(units), use_bias
        self.activation = tf.keras.activations.get(activation)
        self.kernel_initializer = tf.keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        pair = check_pair("SidedDense", input_shape, ranks=(2, 3))
        self.widths = [int(tf.TensorShape(shape[1:]).num_elements()) for shape in pair]
        self._add_kernel((sum(self.widths), self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros") if self.use_bias else None
        super().build(input_shape)

    def _add_kernel(self, shape: tuple[int, int]) -> None:
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        sides = [flat(side) for side in present(inputs)]
        kernel = self.kernel
        kernels = tf.split(kernel, [width for width in self.widths if width]) if len(sides) > 1 else [kernel]
        products = [tf.matmul(side, kernel) for side, kernel in zip(sides, kernels, strict=True)]
        if self.bias is not None:
            products[0] = tf.nn.bias_add(products[0], self.bias)
        if len(products) == 1:
            return self.activation(products[0])  # (batch, units)
        if products[0].shape[0] == 1:  # One user: a bias, which TensorFlow computes within the items' product.
            return self.activation(tf.nn.bias_add(products[1], tf.reshape(products[0], [self.units])))
        return self.activation(tf.add(*products))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": tf.keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": tf.keras.initializers.serialize(self.kernel_initializer),
        }
