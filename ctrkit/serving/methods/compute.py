"""The methods that run a model, each from a request's bytes to its answer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.serving.methods.infer import classify, multi_inference, regress, spec_of
from ctrkit.serving.protos import classification_pb2, prediction_pb2
from ctrkit.serving.servable import Servable


def _model_spec(request: Any) -> Any:
    return request.model_spec


@dataclass(frozen=True)
class Method:
    """A method: how its requests are read, which model they ask for, and how they are answered."""

    read: Callable[[bytes], Any]
    answer: Callable[[Any, Servable, str], bytes]  # (request, servable, model name) -> the response's bytes.
    spec: Callable[[Any], Any] = _model_spec

    def of_bytes(self, raw: bytes, servable: Servable, model: str) -> bytes:
        """Answer one request with a loaded servable. Raises `DecodeError`, `RequestError`, `SessionError`."""
        return self.answer(self.read(raw), servable, model)


def _predict(request: Any, servable: Servable, model: str) -> bytes:
    return servable.answer(request, model)


def _written(answer: Callable[[Any, Servable, str], Any]) -> Callable[[Any, Servable, str], bytes]:
    """The bytes of what `answer` gives as a message."""
    return lambda request, servable, model: answer(request, servable, model).SerializeToString()


METHODS: Mapping[str, Method] = {
    "Predict": Method(prediction_pb2.PredictRequest.FromString, _predict),
    "Classify": Method(classification_pb2.ClassificationRequest.FromString, _written(classify)),
    "Regress": Method(classification_pb2.RegressionRequest.FromString, _written(regress)),
    "MultiInference": Method(
        classification_pb2.MultiInferenceRequest.FromString,
        _written(multi_inference),
        lambda request: spec_of(request.tasks),
    ),
}
# Kind of a recorded warmup request -> the way that requests of this kind go.
WARMUP = {
    "predict_log": METHODS["Predict"].of_bytes,
    "classify_log": METHODS["Classify"].of_bytes,
    "regress_log": METHODS["Regress"].of_bytes,
    "multi_inference_log": METHODS["MultiInference"].of_bytes,
}
