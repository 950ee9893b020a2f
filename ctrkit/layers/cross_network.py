"""Explicit feature crosses of a bounded degree."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers.sides import check_pair, flat, present, side_by_side
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class CrossNetwork(tf.keras.layers.Layer):
    """`x[l + 1] = x[0] * (x[l] @ W[l] + b[l]) + x[l]`, `depth` times: crosses up to degree `depth + 1`.

    The first product, which is linear in both sides, is taken side by side: the user's half once for all candidates.

    Args:
        depth: number of cross layers.
        rank: factors of each W (`features x rank` times `rank x features`); None for a full matrix.
    Call args:
        inputs: `[user, item]`, each float `(batch, features)` or `(batch, fields, dim)`; the batches may be 1 and n.
    Returns:
        float `(batch, user features + item features)` with the larger batch.
    Raises:
        ConfigError: `depth` or `rank` below 1.
        ShapeError: on build, unless given a pair of known widths.
    Source: Wang et al., "DCN V2: Improved Deep & Cross Network", WWW 2021, equations 1 and 2.
    """

    def __init__(
        self, depth: int = 2, *, rank: int | None = None, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("depth", depth), ("rank", 1 if rank is None else rank)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"CrossNetwork: `{name}` is {value!r}, expected an integer >= 1.")
        self.depth, self.rank = depth, rank
        self.kernel_initializer = tf.keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        pair = check_pair("CrossNetwork", input_shape, ranks=(2, 3))
        self.widths = [int(tf.TensorShape(shape[1:]).num_elements()) for shape in pair]
        width = sum(self.widths)
        shapes = [(width, width)] if self.rank is None else [(width, self.rank), (self.rank, width)]
        self.kernels = [
            [self._kernel(layer, i, shape) for i, shape in enumerate(shapes)] for layer in range(self.depth)
        ]
        self.biases = [
            self.add_weight(name=f"bias_{layer}", shape=(width,), initializer="zeros") for layer in range(self.depth)
        ]
        super().build(input_shape)

    def _kernel(self, layer: int, factor: int, shape: tuple[int, int]) -> tf.Variable:
        config = self.kernel_initializer.get_config()
        if config.get("seed") is not None:
            config["seed"] += 2 * layer + factor
        initializer = type(self.kernel_initializer).from_config(config)  # One object would repeat its values.
        return self.add_weight(name=f"kernel_{layer}_{factor}", shape=shape, initializer=initializer)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        first = side_by_side(inputs)  # (batch, features)
        crossed = first
        for layer, (kernels, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            product = self._first_product(inputs, kernels[0]) if layer == 0 else tf.matmul(crossed, kernels[0])
            for kernel in kernels[1:]:
                product = tf.matmul(product, kernel)
            crossed = first * tf.nn.bias_add(product, bias) + crossed
        return crossed

    def _first_product(self, inputs: list[tf.Tensor], kernel: tf.Tensor) -> tf.Tensor:
        sides = [flat(side) for side in present(inputs)]
        if len(sides) == 1:
            return tf.matmul(sides[0], kernel)
        kernels = tf.split(kernel, self.widths)
        return tf.add(*(tf.matmul(side, part) for side, part in zip(sides, kernels, strict=True)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth": self.depth,
            "rank": self.rank,
            "kernel_initializer": tf.keras.initializers.serialize(self.kernel_initializer),
        }
