"""Keep AutoGraph away from a layer: its rewriting of Python code takes a quarter of the time to build a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

Call = TypeVar("Call", bound=Callable[..., object])


def unconverted(call: Call) -> Call:
    """For a layer's `call` without Python branches or loops over tensors: it is traced as it is written."""
    wrapper: Call = tf.autograph.experimental.do_not_convert(call)
    wrapper.__signature__ = inspect.signature(call)  # type: ignore[attr-defined]  # Keras asks for `training` in it.
    return wrapper
