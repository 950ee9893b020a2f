"""GetModelMetadata: the signatures of a loaded version."""

from __future__ import annotations

from typing import Any

from ctrkit.errors import RequestError
from ctrkit.serving.methods.call import Call, found, name
from ctrkit.serving.models import ServedModels
from ctrkit.serving.protos import prediction_pb2

SIGNATURE_MAP_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


def signatures(models: ServedModels, spec: Any, call: Call) -> tuple[int, Any]:
    """The version that a ModelSpec asks for, and its SignatureDefMap. Raises `Refusal`."""
    with found(models, spec, call) as servable:
        answer = prediction_pb2.SignatureDefMap()
        for signature, definition in servable.runtime.definitions.items():
            answer.signature_def[signature].CopyFrom(definition)
        return servable.version, answer


def metadata(models: ServedModels, request: Any, call: Call) -> Any:
    """Answer a GetModelMetadataRequest. Raises `RequestError`, `Refusal`."""
    if not request.HasField("model_spec"):
        raise RequestError("Missing ModelSpec: the request does not say which model (`model_spec.name`).")
    if not request.metadata_field:
        raise RequestError(
            'GetModelMetadataRequest must specify at least one metadata_field; expected ["signature_def"].'
        )
    for field in request.metadata_field:
        if field != "signature_def":
            raise RequestError(f"Metadata field {field} is not supported. Valid: 'signature_def'.")
    version, map_ = signatures(models, request.model_spec, call)
    response = prediction_pb2.GetModelMetadataResponse()
    name(response.model_spec, request.model_spec.name, version, "")
    response.metadata["signature_def"].type_url = SIGNATURE_MAP_URL
    response.metadata["signature_def"].value = map_.SerializeToString()
    return response
