"""What a ReloadConfigRequest asks for, refused in TensorFlow Serving's words where it cannot be."""

from __future__ import annotations

from typing import Any

import grpc

from ctrkit.errors import ConfigError
from ctrkit.serving.models.config import ModelsConfig
from ctrkit.serving.refusal import Refusal


def requested(request: Any) -> ModelsConfig:
    """Read the models of a `ReloadConfigRequest`; an empty list unloads all. Raises `Refusal` (INVALID_ARGUMENT)."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise Refusal(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported. List all models that are to be served, those that stay included.",
            grpc.StatusCode.INVALID_ARGUMENT,
        )
    try:
        return ModelsConfig.of_message(request.config)
    except ConfigError as error:
        raise Refusal(str(error), grpc.StatusCode.INVALID_ARGUMENT) from error
