"""The bytes of requests and what the bytes of answers mean, apart from how they travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctrkit.errors import RequestError
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.signatures import Signature, signatures_of
from ctrkit.serving.wire import array_of, pack

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


@dataclass(frozen=True)
class Answer:
    """Outputs by name, the version that computed them, and who."""

    outputs: dict[str, np.ndarray]
    version: int
    target: str = ""


@dataclass(frozen=True)
class VersionStatus:
    """A version and its state: START, LOADING, AVAILABLE, UNLOADING or END."""

    version: int
    state: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Which model is meant: its latest version, one version, or the version that has a label."""

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise RequestError(f"Got version {self.version} and label {self.label!r}, expected one of them at most.")

    @property
    def is_chosen(self) -> bool:
        """Whether a version or a label was named."""
        return self.version is not None or self.label is not None

    def put(self, spec: Any, version: int | None = None) -> None:
        """Fill a `ModelSpec`; `version` goes before what was chosen here."""
        spec.name = self.model
        if version is not None or self.version is not None:
            spec.version.value = self.version if version is None else version
        elif self.label is not None:
            spec.version_label = self.label


def predict_request(
    served: Served,
    signature: str,
    inputs: Mapping[str, Any],
    outputs: Iterable[str] = (),
    version: int | None = None,
) -> bytes:
    """Inputs are arrays, or what numpy makes arrays of; strings are `str` or `bytes`. Raises `RequestError`."""
    request = prediction_pb2.PredictRequest()
    served.put(request.model_spec, version)
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        pack(_array(value), request.inputs[name], name)
    request.output_filter.extend(outputs)
    raw: bytes = request.SerializeToString()
    return raw


def predict_answer(raw: bytes, target: str) -> Answer:
    response = prediction_pb2.PredictResponse.FromString(raw)
    arrays = {name: array_of(tensor, name) for name, tensor in response.outputs.items()}
    return Answer(arrays, response.model_spec.version.value, target)


def metadata_request(served: Served) -> bytes:
    request = prediction_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    served.put(request.model_spec)
    raw: bytes = request.SerializeToString()
    return raw


def metadata_answer(raw: bytes) -> dict[str, Signature]:
    value = prediction_pb2.GetModelMetadataResponse.FromString(raw).metadata["signature_def"].value
    return signatures_of(prediction_pb2.SignatureDefMap.FromString(value).signature_def)


def status_request(served: Served) -> bytes:
    request = prediction_pb2.GetModelStatusRequest()
    served.put(request.model_spec)
    raw: bytes = request.SerializeToString()
    return raw


def status_answer(raw: bytes) -> list[VersionStatus]:
    found = prediction_pb2.GetModelStatusResponse.FromString(raw).model_version_status
    name = prediction_pb2.ModelVersionStatus.State.Name
    states = [VersionStatus(one.version, name(one.state), one.status.error_message) for one in found]
    return sorted(states, key=lambda status: -status.version)


def _array(value: Any) -> np.ndarray:
    """numpy's own string arrays drop zero bytes at the end, so lists of bytes become arrays of objects."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (bytes, str)):
        return np.array(value, dtype=object)
    if isinstance(value, bytes):
        return np.array(value, dtype=object)
    return np.asarray(value)
