"""`tf.Example` requests: as a SavedModel's own parser takes them, or as the ids of a ctrkit model's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ctrkit.errors import RequestError, did_you_mean
from ctrkit.indexing import Field
from ctrkit.schema import Sequence as SequenceFeature
from ctrkit.serving.protos import classification_pb2

LARGEST_ID = 2**31 - 1
_KINDS = {"bytes_list": "bytes", "float_list": "floats", None: "no list"}


def serialized(request_input: Any) -> list[bytes]:
    """The Examples of a request, each with the shared context in front. Raises `RequestError` when there is none."""
    kind = request_input.WhichOneof("kind")
    if kind == "example_list_with_context":
        given = request_input.example_list_with_context
        # Two serialized messages in a row are one with the fields of both; of a feature in both, the Example's counts.
        examples = [given.context + example for example in given.examples]
    else:
        examples = list(request_input.example_list.examples)
    if not examples:
        raise RequestError("Input is empty: expected at least one tf.Example in `input.example_list.examples`.")
    return examples


def named_inputs(
    examples: Sequence[bytes], fields: Sequence[Field], inputs: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """The inputs of signature `named`: `int32 [n]` a feature, `[n, length]` a sequence; short sequences are padded.

    `inputs` maps features to their inputs' names. Raises `RequestError` naming the Example and the feature: every one
    must be there with ids as `int64_list`.
    """
    rows = [_features(example, number) for number, example in enumerate(examples)]
    known = {field.name for field in fields}
    for number, row in enumerate(rows):
        for feature in row:
            if feature not in known:
                raise RequestError(
                    f"Example {number}: the model has no feature {feature!r}.{did_you_mean(feature, known)}"
                )
    return {inputs[field.name]: _column(field, rows) for field in fields}


def _features(example: bytes, number: int) -> dict[str, Any]:
    try:
        return dict(classification_pb2.Example.FromString(example).features.feature)
    except DecodeError:
        raise RequestError(f"Example {number}: its {len(example):,} bytes are no tf.Example.") from None


def _column(field: Field, rows: list[dict[str, Any]]) -> np.ndarray:
    several = isinstance(field.feature, SequenceFeature)
    ids = np.zeros((len(rows), field.length), dtype=np.int64)  # 0 is padding, as in the index.
    for number, row in enumerate(rows):
        values = _values(row, field.name, number)
        if len(values) > field.length or (not several and len(values) != 1):
            expected = f"at most {field.length} ids" if several else "one id"
            raise RequestError(f"Example {number}: feature {field.name!r} has {len(values)} ids, expected {expected}.")
        ids[number, : len(values)] = values
    outside = (ids < 0) | (ids > LARGEST_ID)
    if outside.any():
        number, column = (int(i) for i in np.argwhere(outside)[0])
        raise RequestError(
            f"Example {number}: feature {field.name!r} got id {int(ids[number, column])}, expected 0 to "
            f"{field.rows - 1}."
        )
    packed = ids.astype(np.int32)
    return packed if several else packed[:, 0]


def _values(row: dict[str, Any], name: str, number: int) -> Sequence[int]:
    feature = row.get(name)
    if feature is None:
        raise RequestError(f"Example {number}: feature {name!r} is missing, expected its id as int64 (0: no value).")
    kind = feature.WhichOneof("kind")
    if kind != "int64_list":
        raise RequestError(
            f"Example {number}: feature {name!r} has {_KINDS[kind]}, expected its id as int64. Index raw values with "
            "the model's own feature_index."
        )
    values: Sequence[int] = feature.int64_list.value
    return values
