"""Deal the vectors of all fields out to the members of an ensemble."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError, ShapeError
from ctrkit.layers.sides import check_pair, present
from ctrkit.layers.unconverted import unconverted


@tf.keras.utils.register_keras_serializable("ctrkit")
class SplitMembers(tf.keras.layers.Layer):
    """All vectors, flat, with an axis of members: member m gets part m of every vector.

    Args:
        members: equal parts that each vector is cut into.
    Call args:
        inputs: `[user, item]`, each float `(batch, fields, members * dim)`, or several such pairs one after another,
            `[user, item, user, item, …]`, whose `dim` may differ; batches may be 1 and n.
    Returns:
        float `(batch, members, features)` with the larger batch, where features is the sum of `fields * dim`.
    Raises:
        ConfigError: fewer than one member.
        ShapeError: on build, unless given pairs of rank 3 whose vectors can be cut.
    """

    def __init__(self, members: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(members, bool) or not isinstance(members, int) or members < 1:
            raise ConfigError(f"SplitMembers: `members` is {members!r}, expected an integer >= 1, e.g. 8.")
        self.members = members

    def build(self, input_shape: Any) -> None:
        pairs = [input_shape[at : at + 2] for at in range(0, len(input_shape), 2)]
        for shape in [shape for pair in pairs for shape in check_pair("SplitMembers", pair, ranks=(3,))]:
            if int(shape[2] or 0) % self.members:
                raise ShapeError(
                    f"SplitMembers: vectors of length {shape[2]} cannot be cut into {self.members} equal parts. "
                    f"Look them up with `dim` a multiple of {self.members}."
                )
        super().build(input_shape)

    @unconverted
    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        parts = [self._dealt(side) for side in present(inputs)]
        batch = tf.shape(parts[0])[0]
        for part in parts[1:]:  # Not the largest: there may be no candidates at all.
            batch = tf.where(batch == 1, tf.shape(part)[0], batch)
        return tf.concat([tf.broadcast_to(part, [batch, *part.shape[1:]]) for part in parts], axis=2)

    def _dealt(self, side: tf.Tensor) -> tf.Tensor:
        fields, dim = side.shape[1], side.shape[2] // self.members
        cut = tf.transpose(tf.reshape(side, [-1, fields, self.members, dim]), [0, 2, 1, 3])
        return tf.reshape(cut, [-1, self.members, fields * dim])  # (batch, members, fields * dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "members": self.members}
