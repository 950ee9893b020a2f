"""The bytes of a PredictResponse, put together without building the message: scores are copied, never parsed."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from ctrkit.serving.protos import prediction_pb2, tensor_pb2
from ctrkit.serving.signatures import NUMBERS
from ctrkit.serving.wire import pack_typed

# numpy type -> tag of its packed field in a Tensor: what numpy holds is what goes over the wire.
_SAME_BYTES = {np.dtype("<f4"): b"\x2a", np.dtype("<f8"): b"\x32"}
_FIRST, _SECOND = b"\x0a", b"\x12"  # Tags of fields 1 and 2 that have a length.


def predict_response(outputs: Mapping[str, np.ndarray], spec: bytes) -> bytes:
    """Encode outputs by name, with values in typed fields as TensorFlow Serving answers; `spec` is `model_spec`'s.

    Raises `RequestError` for a type that cannot be sent.
    """
    parts: list[bytes] = []
    for name, array in outputs.items():
        tensor, key = _tensor(array, name), _key(name)
        parts += (_FIRST, _varint(len(key) + len(tensor)), key, tensor)
    parts.append(spec)
    return b"".join(parts)


def model_spec(model: str, version: int, signature: str) -> bytes:
    """The end of a PredictResponse: which model, version and signature answered."""
    response = prediction_pb2.PredictResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    if signature:
        response.model_spec.signature_name = signature
    return response.SerializeToString()  # type: ignore[no-any-return]


def _tensor(array: np.ndarray, name: str) -> bytes:
    """The value of a map's entry: a Tensor with its tag and length."""
    tag = _SAME_BYTES.get(array.dtype)
    if tag is None:
        message = tensor_pb2.Tensor()
        pack_typed(array, message, name)
        whole = message.SerializeToString()
        return _SECOND + _varint(len(whole)) + whole
    head = _head(NUMBERS[array.dtype], array.shape)
    if not array.size:
        return _SECOND + _varint(len(head)) + head
    content = array.tobytes()
    size = _varint(len(content))
    return b"".join((_SECOND, _varint(len(head) + 1 + len(size) + len(content)), head, tag, size, content))


@functools.lru_cache(4096)
def _head(number: int, shape: tuple[int, ...]) -> bytes:
    """Type and shape of a Tensor."""
    message = tensor_pb2.Tensor(dtype=number)
    message.tensor_shape.SetInParent()
    for size in shape:
        message.tensor_shape.dim.add().size = size
    return message.SerializeToString()  # type: ignore[no-any-return]


@functools.lru_cache(4096)
def _key(name: str) -> bytes:
    encoded = name.encode()
    return _FIRST + _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    """A length: seven bits a byte, the lowest first, the high bit set on all but the last."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
