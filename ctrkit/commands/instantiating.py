"""Make the options that the configuration names by `_target_`, with errors of our own family."""

from __future__ import annotations

import inspect
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig

from ctrkit.errors import ConfigError, CtrkitError, did_you_mean


def make(config: DictConfig, **arguments: Any) -> Any:
    """`hydra.utils.instantiate`, but what the target complained about is what is raised.

    Raises `ConfigError` where the target does not take the values; an error of ctrkit's passes unchanged.
    """
    try:
        return instantiate(config, **arguments)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, CtrkitError):
                raise cause from None
            cause = cause.__cause__
        target = config.get("_target_")
        unknown = _unknown_option(config)
        if unknown is not None:
            raise ConfigError(unknown) from error
        raise ConfigError(f"Cannot make {target}: {' '.join(str(error).split())}") from error


def _unknown_option(config: DictConfig) -> str | None:
    """What to say of an option that the target does not have; None where it has all of them."""
    try:
        parameters = inspect.signature(get_object(config._target_)).parameters
    except Exception:  # The target itself is what is wrong, and Hydra has said so.
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    for key in config:
        if not str(key).startswith("_") and key not in parameters:
            return f"{config._target_} has no option {key!r}.{did_you_mean(str(key), parameters)}"
    return None
