"""Raw calls over gRPC: what a client of any make would send."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np

from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.wire import pack

PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
CHECK = "/grpc.health.v1.Health/Check"


def predict_request(model: str, signature: str = "", **inputs: Any) -> bytes:
    """A PredictRequest's bytes."""
    request = prediction_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        pack(np.asarray(value), request.inputs[name], name)
    return request.SerializeToString()


def outcome(call: Any) -> tuple[grpc.StatusCode, str]:
    """Status and text of a finished or running call."""
    return call.code(), call.details()


def asked(channel: grpc.Channel, method: str, request: bytes, timeout: float = 20, **more: Any) -> Any:
    """Call and wait; the finished call, failed or not."""
    call = channel.unary_unary(method).future(request, timeout=timeout, **more)
    call.exception()
    return call
