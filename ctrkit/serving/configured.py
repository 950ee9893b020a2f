"""Which models the options of a server ask for."""

from __future__ import annotations

import os
from pathlib import Path

from ctrkit.errors import ConfigError
from ctrkit.serving.models import All, Latest, ModelConfig, ModelsConfig, Policy, Specific
from ctrkit.serving.options import ServingOptions


def models_config(base: str | os.PathLike[str] | None, options: ServingOptions) -> ModelsConfig:
    """The models of `options.model_config_file`, or the one at `base`. Raises `ConfigError`."""
    if options.model_config_file is None:
        if base is None:
            raise ConfigError(
                "No model to serve: name the directory of its versions (PATH or --model-base-path), or a file of "
                "several models (--model-config-file)."
            )
        policy = policy_of(options.version_policy)
        return ModelsConfig((ModelConfig(options.name, Path(base), policy, options.labels),))
    if base is not None:
        raise ConfigError(
            f"Both a model's directory ({os.fspath(base)}) and a file of models ({options.model_config_file}) are "
            "named. Name one of them."
        )
    if options.labels or options.version_policy != ServingOptions.version_policy:
        raise ConfigError(
            f"`labels` and `version_policy` belong into {options.model_config_file}, beside each model: "
            'version_labels { key: "stable" value: 3 } and model_version_policy { latest { num_versions: 2 } }.'
        )
    return ModelsConfig.read(options.model_config_file)


def policy_of(text: str) -> Policy:
    """Read "latest", "latest:2", "all" or "specific:3,5". Raises `ConfigError`."""
    kind, _, numbers = text.partition(":")
    try:
        given = [int(number) for number in numbers.split(",")] if numbers else []
    except ValueError:
        given = [-1]
    if kind == "all" and not numbers:
        return All()
    if kind == "latest" and len(given) <= 1 and min(given, default=1) > 0:
        return Latest(*given)
    if kind == "specific" and min(given, default=-1) >= 0:
        return Specific(tuple(given))
    raise ConfigError(
        f'`version_policy` is {text!r}, expected "latest", "latest:2" (as many), "all", or "specific:3,5" (these).'
    )
