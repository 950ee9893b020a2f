"""Whole columns of raw values to rows: what `FeatureIndex.ids` does one by one, on Arrow arrays of distinct values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ctrkit.indexing.build import values_of
from ctrkit.indexing.field import MISSING_ROW, OOV_ROW
from ctrkit.indexing.hashing import hash64_many
from ctrkit.indexing.vocabulary import Vocabulary
from ctrkit.schema import Categorical, Cross, Feature, Hashed


class UnreadableValueError(ValueError):
    """A raw value that is no token or no number; `place` is its position in the array."""

    def __init__(self, value: object, place: int, expected: str) -> None:
        super().__init__(f"got {value!r}, expected {expected}")
        self.value, self.place, self.expected = value, place, expected


def tokens(values: pa.Array, missing: Iterable[str]) -> pa.LargeStringArray:
    """The canonical strings of raw values (see `FeatureIndex.token`); null where missing.

    Raises `UnreadableValueError` for bytes that are not UTF-8 and for a type that has no canonical string.
    """
    kind = values.type
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
    ):
        spelled = values.cast(pa.large_string())
    elif pa.types.is_floating(kind):
        spelled = pa.array([_spelled(value) for value in values.to_pylist()], type=pa.large_string())
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        spelled = pa.array([_decoded(value, i) for i, value in enumerate(values.to_pylist())], type=pa.large_string())
    elif pa.types.is_null(kind):
        return pa.nulls(len(values), pa.large_string())
    else:
        raise UnreadableValueError(str(kind), 0, "a column of strings, integers, floats or booleans")
    absent = pc.is_in(spelled, value_set=pa.array(list(missing), type=pa.large_string()))
    return pc.if_else(absent, pa.scalar(None, pa.large_string()), spelled) if pc.any(absent).as_py() else spelled


def _spelled(value: float | None) -> str | None:
    if value is None or math.isnan(value):
        return None
    return str(int(value)) if value.is_integer() else str(value)


def _decoded(value: bytes | None, place: int) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as error:
        raise UnreadableValueError(value, place, f"UTF-8 ({error.reason})") from error


def numbers(values: pa.Array, missing: Iterable[str], missing_numbers: Iterable[float]) -> np.ndarray:
    """Raw values as float64 `[n]`; NaN where missing. Raises `UnreadableValueError` for text that is no number."""
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        found = np.array(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    else:
        text = tokens(values, missing)
        try:
            found = np.array(text.cast(pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:  # Python reads more spellings, such as ' 7 '.
            found = np.array([_number(value, i) for i, value in enumerate(text.to_pylist())], dtype=np.float64)
    for number in missing_numbers:
        found[found == number] = np.nan
    return found


def _number(text: str | None, place: int) -> float:
    try:
        return math.nan if text is None else float(text)
    except ValueError as error:
        raise UnreadableValueError(text, place, "a number") from error


def token_rows(owner: Feature, vocabulary: Vocabulary | None, values: pa.LargeStringArray) -> np.ndarray:
    """Rows of present tokens of a categorical or hashed feature or of a cross (its parts joined): `int32 [n]`.

    `vocabulary` is None for a hashed feature.
    """
    if vocabulary is None:
        assert isinstance(owner, Hashed)
        return (2 + hash64_many(values.to_pylist()) % np.uint64(owner.buckets)).astype(np.int32)
    assert isinstance(owner, (Categorical, Cross))
    ranks = pc.index_in(values, value_set=values_of(vocabulary)).fill_null(-1)
    return rows_of_ranks(owner, ranks.to_numpy(zero_copy_only=False), values)


def rows_of_ranks(owner: Categorical | Cross, ranks: np.ndarray, values: pa.LargeStringArray) -> np.ndarray:
    """Rows of present tokens whose ranks in the vocabulary are known: `int32 [n]`; rank -1 is out of vocabulary."""
    known = ranks >= 0
    out = np.where(known, ranks + (1 + owner.oov), OOV_ROW).astype(np.int32)
    if owner.oov > 1:
        unknown = np.flatnonzero(~known)
        hashes = hash64_many(values.take(pa.array(unknown)).to_pylist())
        out[unknown] = (OOV_ROW + hashes % np.uint64(owner.oov)).astype(np.int32)
    return out


def number_rows(boundaries: Sequence[float], values: np.ndarray) -> np.ndarray:
    """Rows of numbers, NaN where missing: `int32 [n]`."""
    rows = 2 + np.searchsorted(np.asarray(boundaries, dtype=np.float64), values, side="right")
    return np.where(np.isnan(values), MISSING_ROW, rows).astype(np.int32)
