"""What the tests of served models share: a loader, a listener, and a request to the small SavedModel."""

from __future__ import annotations

import numpy as np

from ctrkit.serving.models import Patience, VersionLoader, VersionState
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.servable import Servable
from ctrkit.serving.wire import array_of

AT_ONCE = Patience(settle=0.0, retries=0)  # Tests look when they want, and copy before they look.


def answer_predict(raw: bytes, servable: Servable, model: str) -> object:
    """Answer a Predict request."""
    request = prediction_pb2.PredictRequest.FromString(raw)
    inputs = {name: array_of(tensor, name) for name, tensor in request.inputs.items()}
    return servable.predict(request.model_spec.signature_name or "serving_default", inputs)


LOADER = VersionLoader(answers={"predict_log": answer_predict}, require_index=False)


class Changes(list[tuple[str, VersionState]]):
    """What `on_change` was told."""

    def __call__(self, name: str, state: VersionState) -> None:
        self.append((name, state))

    def of(self, version: int) -> list[int]:
        """The states that a version went through."""
        return [state.state for _, state in self if state.version == version]


def echo(servable: Servable) -> str:
    """Ask the small SavedModel something: "A"."""
    inputs = {"words": np.array([b"a"], object), "times": np.array(1, np.int64), "x": np.ones((1, 1), np.float32)}
    return bytes(servable.predict("serving_default", inputs)["upper"][0]).decode()
