"""Tensors between numpy and the wire: packed content straight through, typed fields as official clients send them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ctrkit.errors import RequestError
from ctrkit.serving.protos import tensor_pb2
from ctrkit.serving.signatures import DTYPES, NUMBERS, STRING, dtype_name

MAX_RANK = 32  # numpy's limit.
MAX_SIZE = 1 << 40  # Product of the sizes, zeros left out: TensorFlow ends the process when it overflows.
MAX_REPEATED = 1 << 20  # Values: one value may stand for a whole tensor; a shape alone must not claim all memory.


def array_of(tensor: tensor_pb2.Tensor, name: str) -> np.ndarray:
    """Read one tensor; numbers come as a read-only view of the message's bytes where they are packed.

    Strings come as an object array of bytes. Raises `RequestError` with `name` in the message.
    """
    number, described = tensor.dtype, tensor.tensor_shape
    if number not in DTYPES:
        raise RequestError(f"Tensor {name!r}: {dtype_name(number)} is not a type that can be sent here.")
    shape = tuple([dim.size for dim in described.dim])
    if described.unknown_rank:
        raise RequestError(f"Tensor {name!r}: a value needs a known shape, got one of unknown rank.")
    if len(shape) > MAX_RANK or (shape and min(shape) < 0):
        raise RequestError(f"Tensor {name!r}: got shape {list(shape)}, expected at most {MAX_RANK} sizes of 0 or more.")
    count = math.prod(shape)
    if (count or math.prod([size or 1 for size in shape])) > MAX_SIZE:
        raise RequestError(f"Tensor {name!r}: shape {list(shape)} is too large.")
    content = tensor.tensor_content
    if not content:
        flat = _typed(tensor, name, shape, count)
    elif number == STRING:
        flat = _objects(_packed_strings(content, name, shape, count))
    else:
        dtype = DTYPES[number][1]
        if len(content) != count * dtype.itemsize:
            raise RequestError(
                f"Tensor {name!r}: tensor_content has {len(content):,} bytes, but {dtype_name(number)} of shape "
                f"{list(shape)} takes {count * dtype.itemsize:,}."
            )
        flat = np.frombuffer(content, dtype=dtype)
    return flat.reshape(shape)


def _typed(tensor: tensor_pb2.Tensor, name: str, shape: tuple[int, ...], count: int) -> np.ndarray:
    _, dtype, field = DTYPES[tensor.dtype]
    values = getattr(tensor, field)
    if len(values) > count or (len(values) < count and not values):
        raise RequestError(
            f"Tensor {name!r}: got {len(values)} values in `{field}`, expected {count} for {dtype_name(tensor.dtype)} "
            f"of shape {list(shape)}."
        )
    if len(values) < count and count > MAX_REPEATED:
        raise RequestError(f"Tensor {name!r}: shape {list(shape)} is too large to be filled by repeating a value.")
    if tensor.dtype == STRING:
        flat = _objects(list(values))
    elif field == "half_val":
        flat = np.array(values, dtype=np.int64).astype(np.uint16).view(np.float16)
    else:
        flat = np.array(values).astype(dtype) if field == "int_val" else np.array(values, dtype=dtype)
    if len(flat) < count:  # TensorFlow's rule: the last value fills the rest.
        flat = np.concatenate([flat, np.repeat(flat[-1:], count - len(flat))])
    return flat


def _objects(values: list[bytes]) -> np.ndarray:
    flat = np.empty(len(values), dtype=object)
    flat[:] = values
    return flat


def _packed_strings(content: bytes, name: str, shape: tuple[int, ...], count: int) -> list[bytes]:
    """TensorFlow packs strings as all their lengths (varints), then all their bytes."""
    if count > len(content):
        raise RequestError(f"Tensor {name!r}: {len(content):,} bytes cannot hold strings of shape {list(shape)}.")
    lengths, at = [], 0
    for _ in range(count):
        length = shift = 0
        while at < len(content):
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise RequestError(
            f"Tensor {name!r}: packed strings of shape {list(shape)} should take {at + sum(lengths):,} bytes, "
            f"got {len(content):,}."
        )
    values = []
    for length in lengths:
        values.append(content[at : at + length])
        at += length
    return values


def dtype_number(array: np.ndarray, name: str) -> int:
    """Return the `tensorflow.DataType` of an array. Raises `RequestError` for a type that cannot be sent."""
    number = NUMBERS.get(array.dtype)
    if number is not None:
        return number
    if array.dtype.kind in "OSU":
        return STRING
    number = NUMBERS.get(array.dtype.newbyteorder("<"))
    if number is None:
        raise RequestError(f"Tensor {name!r}: numpy type {array.dtype} cannot be sent. Use int32, float32 or bytes.")
    return number


def pack(array: np.ndarray, into: tensor_pb2.Tensor, name: str) -> None:
    """Fill a message with packed bytes: what the client sends."""
    number = _head(array, into, name)
    if number == STRING:
        into.string_val.extend(_bytes(value, name) for value in array.ravel().tolist())
    else:
        into.tensor_content = array.astype(DTYPES[number][1], copy=False).tobytes()


def pack_typed(array: np.ndarray, into: tensor_pb2.Tensor, name: str) -> None:
    """Fill a message's typed field, as TensorFlow Serving answers: clients often read `float_val` directly."""
    number = _head(array, into, name)
    field = DTYPES[number][2]
    values: list[Any] = (array.view(np.uint16) if field == "half_val" else array).ravel().tolist()
    getattr(into, field).extend([_bytes(value, name) for value in values] if number == STRING else values)


def _head(array: np.ndarray, into: tensor_pb2.Tensor, name: str) -> int:
    into.dtype = number = dtype_number(array, name)
    shape = into.tensor_shape
    shape.SetInParent()  # A scalar has a shape without dimensions, which is not the same as no shape.
    for size in array.shape:
        shape.dim.add().size = size
    return number


def _bytes(value: Any, name: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise RequestError(f"Tensor {name!r}: got {type(value).__name__} {value!r} among strings, expected str or bytes.")
