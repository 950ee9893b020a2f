"""keras-tuner's HyperParameters for a model that is built outside of a search."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras_tuner

from ctrkit.errors import ConfigError, did_you_mean


@contextlib.contextmanager
def fixed_hyperparameters(values: Mapping[str, Any]) -> Iterator[Any]:
    """Yield an `hp` that answers with `values`, and with the default where there is none, to build a model with.

    Raises `ConfigError` after the block where a value was not asked for and another that was asked for is not given: a
    slip in a name. A model that asks for less on one of its ways is given more than it asks for.
    """
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    yield hp
    asked = {one.name for one in hp.space}
    unknown = sorted(set(values) - asked)
    if unknown and asked - set(values):
        raise ConfigError(
            f"model.hp has {unknown[0]!r}, which the model does not ask `hp` for.{did_you_mean(unknown[0], asked)}"
        )
