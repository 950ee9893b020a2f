"""GetModelStatus and HandleReloadConfigRequest: how far versions have come, and which models to serve from now on."""

from __future__ import annotations

from typing import Any

from ctrkit.errors import RequestError
from ctrkit.serving.methods.call import Call
from ctrkit.serving.models import ServedModels, VersionState
from ctrkit.serving.models.reload import requested
from ctrkit.serving.protos import model_server_config_pb2, prediction_pb2
from ctrkit.serving.refusal import status_of


def status(models: ServedModels, request: Any, call: Call) -> Any:
    """Answer a GetModelStatusRequest. Raises `RequestError`, `Refusal`."""
    if not request.HasField("model_spec"):
        raise RequestError("Missing ModelSpec: the request does not say which model (`model_spec.name`).")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    if choice == "version_label":
        version = models.version_of(spec.name, spec.version_label)
    states = models.states(spec.name, version)
    call.model = spec.name
    return prediction_pb2.GetModelStatusResponse(model_version_status=map(_message, states))


def reload(models: ServedModels, request: Any) -> Any:
    """Answer a ReloadConfigRequest when all that is new is loaded. Raises `Refusal`."""
    models.apply(requested(request))
    return model_server_config_pb2.ReloadConfigResponse(status=prediction_pb2.StatusProto())


def _message(state: VersionState) -> Any:
    return prediction_pb2.ModelVersionStatus(
        version=state.version,
        state=state.state,
        status=prediction_pb2.StatusProto(
            error_code=0 if state.error is None else status_of(state.error).value[0],
            error_message="" if state.error is None else str(state.error),
        ),
    )
