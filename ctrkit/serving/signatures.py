"""What a SavedModel's signature takes and gives: names, types and shapes, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

INDEX_SIGNATURE = "feature_index"  # `part` int64 [n] -> `bytes` string [n]: 0 is the contents, files' bytes follow.
STRING = 7  # tensorflow.DataType.DT_STRING.

# tensorflow.DataType -> (its name, numpy type, typed field of the wire's Tensor). Strings are object arrays of bytes.
DTYPES: dict[int, tuple[str, np.dtype[Any], str]] = {
    1: ("float32", np.dtype("<f4"), "float_val"),
    2: ("float64", np.dtype("<f8"), "double_val"),
    3: ("int32", np.dtype("<i4"), "int_val"),
    4: ("uint8", np.dtype("u1"), "int_val"),
    5: ("int16", np.dtype("<i2"), "int_val"),
    6: ("int8", np.dtype("i1"), "int_val"),
    7: ("string", np.dtype("O"), "string_val"),
    9: ("int64", np.dtype("<i8"), "int64_val"),
    10: ("bool", np.dtype("?"), "bool_val"),
    17: ("uint16", np.dtype("<u2"), "int_val"),
    19: ("float16", np.dtype("<f2"), "half_val"),
    22: ("uint32", np.dtype("<u4"), "uint32_val"),
    23: ("uint64", np.dtype("<u8"), "uint64_val"),
}
NUMBERS: dict[np.dtype[Any], int] = {dtype: number for number, (_, dtype, _) in DTYPES.items()}


def dtype_name(number: int) -> str:
    """Return "int32" for 3; a type that is not served is named by its number."""
    return DTYPES[number][0] if number in DTYPES else f"DataType {number}"


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output: the graph's tensor behind it, its type and its shape (None: any size, or any rank)."""

    tensor: str  # "operation:output".
    dtype: int  # tensorflow.DataType.
    shape: tuple[int | None, ...] | None

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape` fits."""
        if self.shape is None:
            return True
        if len(shape) != len(self.shape):
            return False
        for want, got in zip(self.shape, shape):  # noqa: B905, SIM110 - lengths are equal; half the time of `all`.
            if want is not None and want != got:
                return False
        return True

    def __str__(self) -> str:
        if self.shape is None:
            return f"{dtype_name(self.dtype)} of any shape"
        return f"{dtype_name(self.dtype)} [{', '.join('n' if size is None else str(size) for size in self.shape)}]"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A named entry of a SavedModel."""

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def signatures_of(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Read the wire's `SignatureDef` messages by name; TensorFlow's own bookkeeping entries are left out."""
    return {
        name: Signature(name=name, inputs=_specs(definition.inputs), outputs=_specs(definition.outputs))
        for name, definition in sorted(definitions.items())
        if not name.startswith("__saved_model_")
    }


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    specs = {}
    for alias, info in sorted(infos.items()):
        sizes = tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else sizes
        specs[alias] = TensorSpec(tensor=info.name, dtype=info.dtype, shape=shape)
    return specs
