"""What the tests of served models share: a loader, a listener, configurations and requests of the small SavedModel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from ctrkit.serving.models import (
    All,
    Latest,
    ModelConfig,
    ModelsConfig,
    Patience,
    ServedModels,
    Specific,
    VersionLoader,
    VersionState,
)
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.servable import Servable
from ctrkit.serving.wire import array_of

Put = Callable[..., Path]  # The fixtures `put` and `serve`.
Serve = Callable[..., ServedModels]
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


def configured(base: Path, policy: Latest | All | Specific | None = None, **labels: int) -> ModelsConfig:
    """The model "m" alone."""
    return ModelsConfig((ModelConfig("m", base, Latest() if policy is None else policy, labels),))


def version_used(models: ServedModels, **which: object) -> int:
    """Which version answers."""
    with models.use("m", **which) as servable:  # type: ignore[arg-type]
        assert echo(servable) == "A"
        return servable.version


def refused(models: ServedModels, name: str = "m", **which: object) -> tuple[grpc.StatusCode, str]:
    """How a request is refused."""
    with pytest.raises(Refusal) as caught, models.use(name, **which):  # type: ignore[arg-type]
        pass
    return caught.value.code, str(caught.value)
