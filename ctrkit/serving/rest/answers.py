"""Answers as JSON, in TensorFlow Serving's words and forms."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from ctrkit.errors import RequestError
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.signatures import dtype_name

_STATUS = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def http_status(code: grpc.StatusCode) -> int:
    """The HTTP status that TensorFlow Serving gives for a code; 500 for what has none."""
    return _STATUS.get(code, 500)


def error(text: str) -> bytes:
    """An error's body."""
    return _dumped({"error": text})


def predictions(outputs: Mapping[str, np.ndarray], *, by_row: bool) -> bytes:
    """Outputs in the form of the request: a list of rows, or one entry a column. Raises `RequestError`."""
    if not by_row:
        columns = {name: _values(array, name) for name, array in outputs.items()}
        return _dumped({"outputs": columns if len(columns) > 1 else next(iter(columns.values()))})
    sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
    if None in sizes.values() or len(set(sizes.values())) > 1:
        told = ", ".join(f"{name!r} {'none' if size is None else size}" for name, size in sizes.items())
        raise RequestError(
            f"Tensor name: {next(iter(sizes))} has inconsistent batch size: rows by output are {told}, so they cannot "
            'be told row by row. Send the request in columns ("inputs").'
        )
    columns = {name: _values(array, name) for name, array in outputs.items()}
    if len(columns) == 1:
        return _dumped({"predictions": next(iter(columns.values()))})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return _dumped({"predictions": rows})


def classes(result: Any) -> bytes:
    """A ClassificationResult."""
    rows = [[[one.label, _number(one.score)] for one in row.classes] for row in result.classifications]
    return _dumped({"results": rows})


def values(result: Any) -> bytes:
    """A RegressionResult."""
    return _dumped({"results": [_number(one.value) for one in result.regressions]})


def status(response: Any) -> bytes:
    """A GetModelStatusResponse."""
    name = prediction_pb2.ModelVersionStatus.State.Name
    found = [
        {
            "version": str(one.version),  # JSON's numbers end where those of JavaScript do.
            "state": name(one.state),
            "status": {
                "error_code": _CODES.get(one.status.error_code, "UNKNOWN"),
                "error_message": one.status.error_message,
            },
        }
        for one in response.model_version_status
    ]
    return _dumped({"model_version_status": found}, indent=1)


def metadata(model: str, version: int, signatures: Any) -> bytes:
    """A version's SignatureDefMap."""
    definitions = {
        name: {
            "inputs": {alias: _info(info) for alias, info in sorted(definition.inputs.items())},
            "outputs": {alias: _info(info) for alias, info in sorted(definition.outputs.items())},
            "method_name": definition.method_name,
        }
        for name, definition in sorted(signatures.signature_def.items())
    }
    spec = {"name": model, "signature_name": "", "version": str(version)}
    return _dumped({"model_spec": spec, "metadata": {"signature_def": {"signature_def": definitions}}}, indent=1)


def _info(info: Any) -> dict[str, Any]:
    shape = info.tensor_shape
    return {
        "dtype": f"DT_{_TYPES.get(dtype_name(info.dtype), dtype_name(info.dtype).upper())}",
        "tensor_shape": {
            "dim": [{"size": str(dim.size), "name": dim.name} for dim in shape.dim],
            "unknown_rank": shape.unknown_rank,
        },
        "name": info.name,
    }


_TYPES = {"DataType 0": "INVALID", "float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}


def _values(array: np.ndarray, name: str) -> Any:
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        # The shortest decimals that are this number at its own precision, as a float64 would show digits of noise.
        flat = np.array([_number(value) for value in array.ravel()], dtype=object)
        return flat.reshape(array.shape).tolist()
    if array.dtype.kind == "O":
        flat = np.empty(array.size, dtype=object)
        flat[:] = [_text(value, name) for value in array.ravel().tolist()]
        return flat.reshape(array.shape).tolist()
    return array.tolist()


def _number(value: Any) -> float:
    return float(str(np.float32(value)))


def _text(value: bytes, name: str) -> Any:
    if not name.endswith("_bytes"):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass  # Not text, whatever its name says.
    return {"b64": base64.b64encode(value).decode()}


def _dumped(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode()
