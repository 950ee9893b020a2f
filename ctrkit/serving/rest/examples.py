"""JSON Examples to `tf.Example`s, for Classify and Regress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ctrkit.errors import RequestError, did_you_mean
from ctrkit.serving.protos import classification_pb2 as wire
from ctrkit.serving.rest.tensors import decoded, is_base64, shown

INT64 = np.iinfo(np.int64)
_KEYS = ("signature_name", "context", "examples")


def fill(document: Mapping[str, Any], into: Any) -> None:
    """Fill a request's `input` from `examples` and `context`. Raises `RequestError`."""
    examples = document.get("examples")
    if examples is None:
        near = next((did_you_mean(key, _KEYS) for key in document if key not in _KEYS), "")
        raise RequestError(f"Key 'examples' is expected and was not found.{near}")
    if not isinstance(examples, list):
        raise RequestError(f"JSON Value: {shown(examples)} Expecting 'examples' value to be an list/array.")
    if not examples:
        raise RequestError("'examples' value is an empty array.")
    filled = into.example_list_with_context if "context" in document else into.example_list
    if "context" in document:
        filled.context = _example(document["context"], "'context'")
    for number, one in enumerate(examples):
        filled.examples.append(_example(one, f"Example {number}"))


def _example(value: Any, where: str) -> bytes:
    if not isinstance(value, dict):
        raise RequestError(f"{where} must be JSON object but got {shown(value)}.")
    example = wire.Example()
    for name, content in value.items():
        try:
            _fill(example.features.feature[name], content, f"{where}: feature {name!r}")
        except UnicodeEncodeError:
            raise RequestError(f"{where}: feature {shown(name)} has half a character in its name or value.") from None
    serialized: bytes = example.SerializeToString()
    return serialized


def _fill(feature: Any, content: Any, where: str) -> None:
    values = content if isinstance(content, list) else [content]
    kinds = {_kind(value, where) for value in values}
    if len(kinds) > 1:
        raise RequestError(f"{where}: Unexpected element type: got {' and '.join(sorted(kinds))}, expecting one type.")
    if kinds == {"int64"}:
        bad = next((value for value in values if not INT64.min <= value <= INT64.max), None)
        if bad is not None:
            raise RequestError(f"{where} has {bad}. Only int64 is supported.")
        feature.int64_list.value.extend(map(int, values))
    elif kinds == {"float"}:
        if any(abs(value) > np.finfo(np.float32).max and not np.isinf(value) for value in values):
            raise RequestError(f"{where}: a value cannot be converted to float without loss of precision.")
        feature.float_list.value.extend(values)
    elif kinds:
        feature.bytes_list.value.extend(
            value.encode() if isinstance(value, str) else decoded(value, where) for value in values
        )


def _kind(value: Any, where: str) -> str:
    if isinstance(value, (bool, int)):
        return "int64"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str) or is_base64(value):
        return "bytes"
    raise RequestError(f"{where} has element with unexpected JSON type: {shown(value)}.")
