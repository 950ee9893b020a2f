"""What a ReloadConfigRequest may ask for."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format

from ctrkit.serving.models import Latest, ModelConfig, ModelsConfig
from ctrkit.serving.models.reload import requested
from ctrkit.serving.protos import model_server_config_pb2
from ctrkit.serving.refusal import Refusal

CONFIG = 'config { name: "m" base_path: "/models/m" model_platform: "tensorflow" }'


def request(text: str) -> model_server_config_pb2.ReloadConfigRequest:
    return text_format.Parse(text, model_server_config_pb2.ReloadConfigRequest())


def test_an_official_request_is_read() -> None:
    pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")  # Light; model_management is not.
    config = text_format.Parse(f"model_config_list {{ {CONFIG} }}", pb2.ModelServerConfig()).SerializeToString()
    raw = b"\x0a" + bytes([len(config)]) + config + b"\x12\x01x"  # config = 1, metric_names = 2.
    read = requested(model_server_config_pb2.ReloadConfigRequest.FromString(raw))
    assert read == ModelsConfig((ModelConfig("m", Path("/models/m"), Latest(1)),))


def test_an_empty_list_unloads_all() -> None:
    assert requested(request("config { model_config_list { } }")) == ModelsConfig(())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            r"^ServerModelConfig type not supported by HandleReloadConfigRequest\. Only ModelConfigList is",
        ),
        ("config { custom_model_config { type_url: 'x' } }", r"^ServerModelConfig type not supported"),
        (f"config {{ model_config_list {{ {CONFIG} {CONFIG} }} }}", r"^Illegal to list model m multiple times"),
        ("config { model_config_list { config { name: 'm' } } }", r"^Model 'm': `model_platform` is missing"),
    ],
)
def test_what_cannot_be_served_is_an_invalid_argument(text: str, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        requested(request(text))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
