"""Find a model by name, by import path or as a function, and build it for an index."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.layers.layout import IndexLike
from ctrkit.models.dcn_v2 import dcn_v2
from ctrkit.models.deepfm import deepfm
from ctrkit.models.logistic_regression import logistic_regression
from ctrkit.models.wide_deep import wide_deep
from ctrkit.models.wide_deep_ensemble import wide_deep_ensemble

ZOO: dict[str, Callable[..., tf.keras.Model]] = {
    function.__name__: function for function in (logistic_regression, wide_deep, deepfm, dcn_v2, wide_deep_ensemble)
}


def build_model(spec: str | Callable[..., tf.keras.Model], index: IndexLike, **options: Any) -> tf.keras.Model:
    """Build the model that `spec` names for `index`, and check that it takes `ids` and gives one probability a row.

    Args:
        spec: a name of the zoo (`"wide_deep"`), an import path (`"my_models:tower"`, `"my_models.tower"`; the working
            directory is searched too) or the function or class itself. It is called as `spec(index, **options)`.
        index: the `FeatureIndex`.
        options: keyword arguments of the model.
    Raises:
        ConfigError: unknown name, failed import, unknown option, or a result that is no such model.
    """
    factory = find_model(spec) if isinstance(spec, str) else spec
    if not callable(factory):
        raise ConfigError(f"Model {spec!r} is {type(factory).__name__}, expected a function `(index, **options)`.")
    name = spec if isinstance(spec, str) else getattr(spec, "__name__", repr(spec))
    _check_options(name, factory, options)
    model = factory(index, **options)
    _check_model(name, model, index)
    return model


def find_model(spec: str) -> Callable[..., Any]:
    """Return the function or class that `spec` names. Raises `ConfigError` saying what could be meant."""
    if spec in ZOO:
        return ZOO[spec]
    module_name, colon, attribute = spec.partition(":")
    if not colon:
        module_name, _, attribute = spec.rpartition(".")
    if not module_name or not attribute:
        raise ConfigError(
            f"Unknown model {spec!r}.{did_you_mean(spec, ZOO)} A model of your own is named by its import path, "
            "e.g. `my_models:my_model`."
        )
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"Model {spec!r}: cannot import {module_name!r} ({error}). Run from the folder that holds it, install it, "
            f"or name one of the zoo: {', '.join(ZOO)}."
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise ConfigError(f"Model {spec!r}: no function or class {attribute!r} there.{did_you_mean(attribute, known)}")
    factory: Callable[..., Any] = found
    return factory


def takes_hp(spec: str) -> bool:
    """Whether the model that `spec` names asks for keras-tuner's HyperParameters by a parameter `hp`."""
    try:
        return "hp" in inspect.signature(find_model(spec)).parameters
    except (TypeError, ValueError):
        return False


def _check_options(spec: str, factory: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, **options)
    except TypeError as error:
        known = [p.name for p in signature.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        unknown = [name for name in options if name not in signature.parameters]
        hint = did_you_mean(unknown[0], known) if unknown else f" It is called as `{spec}(index, **options)`."
        raise ConfigError(f"Model {spec!r}: {error}.{hint}") from error


def _check_model(spec: str, model: Any, index: IndexLike) -> None:
    if not isinstance(model, tf.keras.Model):
        raise ConfigError(f"Model {spec!r} returned {type(model).__name__}, expected a `tf.keras.Model`.")
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ConfigError(
            f"Model {spec!r} is a subclassed model without a graph, which cannot be converted to an Estimator. End its "
            "function with `return tf.keras.Model(inputs.ids, ctr)` where `inputs = Inputs(index)`."
        )
    if list(model.input_names) != ["ids"] or tuple(inputs[0].shape) != (None, index.width):
        got = {name: tuple(tensor.shape) for name, tensor in zip(model.input_names, inputs, strict=True)}
        raise ConfigError(
            f"Model {spec!r} takes {got}, expected one input `ids` of shape (None, {index.width}). "
            "Use `inputs = Inputs(index)` and `tf.keras.Model(inputs.ids, …)`."
        )
    if len(outputs) != 1 or tuple(outputs[0].shape) != (None, 1) or outputs[0].dtype != tf.float32:
        got_outputs = [(tuple(tensor.shape), tensor.dtype.name) for tensor in outputs]
        raise ConfigError(
            f"Model {spec!r} gives {got_outputs}, expected one float32 output of shape (None, 1). "
            "End it with `ClickProbability(name='ctr')(logit)`."
        )
    if list(model.output_names) != ["ctr"]:
        raise ConfigError(
            f"Model {spec!r} has the output {model.output_names[0]!r}, expected `ctr`. Name its last layer: "
            "`ClickProbability(name='ctr')(logit)`."
        )
