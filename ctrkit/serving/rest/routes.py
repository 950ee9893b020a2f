"""Which question a path asks: TensorFlow Serving's URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ctrkit.errors import RequestError
from ctrkit.serving.protos import prediction_pb2

LARGEST_VERSION = 2**63 - 1
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"{_MODEL}:(?P<what>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rf"{_MODEL}(?:/(?P<what>metadata))?", re.IGNORECASE)
_ALL_MODELS = re.compile(r"/v1/models/?", re.IGNORECASE)


@dataclass(frozen=True)
class Route:
    """What is asked ("predict", "classify", "regress", "metadata" or "status") of which model."""

    what: str
    name: str
    version: int | None = None
    label: str | None = None

    def fill(self, spec: prediction_pb2.ModelSpec) -> Any:
        """Name the model in a message."""
        spec.name = self.name
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
        return spec


def route(method: str, path: str) -> Route:
    """Read a request's method and its path, still percent-encoded. Raises `RequestError`."""
    match = (_POST if method == "POST" else _GET).fullmatch(path) if method in ("POST", "GET") else None
    if match is None:
        if method == "GET" and _ALL_MODELS.fullmatch(path):
            raise RequestError("Missing model name in request. Expected GET /v1/models/NAME.")
        raise RequestError(
            f"Malformed request: {method} {path[:200]}. Expected POST /v1/models/NAME[/versions/V|/labels/L]:predict "
            "(or :classify, :regress), or GET /v1/models/NAME[/versions/V|/labels/L][/metadata]."
        )
    version = None if match["version"] is None else _number(match["version"])
    label = None if match["label"] is None else unquote(match["label"])
    return Route((match["what"] or "status").lower(), unquote(match["name"]), version, label)


def _number(digits: str) -> int:
    if len(digits) > 19 or int(digits) > LARGEST_VERSION:
        raise RequestError(f"Failed to convert version: {digits[:40]} to numeric. Expected at most {LARGEST_VERSION}.")
    return int(digits)
