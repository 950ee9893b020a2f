"""Predict: named tensors to named tensors."""

from __future__ import annotations

from typing import Any

from ctrkit.serving.methods.call import DEFAULT_SIGNATURE, name
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.servable import Servable
from ctrkit.serving.wire import array_of, pack_typed


def predict(request: Any, servable: Servable, model: str) -> Any:
    """Answer one parsed PredictRequest with a loaded servable. Raises `RequestError`, `SessionError`."""
    signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
    inputs = {alias: array_of(tensor, alias) for alias, tensor in request.inputs.items()}
    outputs = servable.predict(signature, inputs, tuple(request.output_filter))
    response = prediction_pb2.PredictResponse()
    name(response.model_spec, model, servable.version, signature)
    for alias, array in outputs.items():
        pack_typed(array, response.outputs[alias], alias)
    return response
