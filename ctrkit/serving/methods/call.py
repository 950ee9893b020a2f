"""One request on its way: what it brought beside its message, and what was found out about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from ctrkit.serving.models import ServedModels
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.servable import Servable

DEFAULT_SIGNATURE = "serving_default"
FINGERPRINT_KEY = "ctrkit-fingerprint"  # gRPC metadata, HTTP header: the index a client made its ids with.


@dataclass
class Call:
    """Who asks is not known; what for is, once the message was read."""

    fingerprint: str | None = None  # The index that the client says it made its ids with.
    model: str = ""  # Set when it is one that is served.
    version: int | str = ""  # Set when a version was found.


@contextmanager
def found(models: ServedModels, spec: Any, call: Call) -> Iterator[Servable]:
    """The servable that a ModelSpec asks for, kept loaded inside the block. Raises `Refusal`."""
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    with models.use(spec.name, version=version, label=label) as servable:
        call.model, call.version = spec.name, servable.version
        if call.fingerprint is not None:
            _check_fingerprint(servable, call.fingerprint)
        yield servable


def name(spec: Any, model: str, version: int, signature: str) -> None:
    """Fill the ModelSpec of an answer."""
    spec.name = model
    spec.version.value = version
    if signature:
        spec.signature_name = signature


def _check_fingerprint(servable: Servable, fingerprint: str) -> None:
    index = servable.index
    if index is not None and fingerprint != index.fingerprint:
        raise Refusal(
            f"The ids were made with index {fingerprint[:12]}, but version {servable.version} was trained with "
            f"{index.fingerprint[:12]}: they would hit unrelated embeddings. Open the client with "
            f"{servable.runtime.path}.",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
