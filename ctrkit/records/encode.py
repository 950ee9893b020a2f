"""Parse a piece of the log and put it aside as codes and distinct values, column by column."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from ctrkit.errors import LogError
from ctrkit.indexing.columns import UnreadableValueError
from ctrkit.records import targets
from ctrkit.records.chunk import Chunk, Piece
from ctrkit.records.coded import code_lists, code_tokens
from ctrkit.records.spill import Spill, small, strings
from ctrkit.records.split import Split
from ctrkit.records.times import encoded_times, time_unit
from ctrkit.schema import Categorical, Cross, Feature, Hashed, Numeric, Schema, Sequence, column_of


@dataclass(frozen=True, kw_only=True)
class EncodedChunk:
    """A chunk that was put aside: `file` names its arrays in the spill."""

    number: int
    file: str
    rows: int
    on_disk: int  # Bytes of the log.
    place: str  # Of its first row, for messages.
    first: int = 0  # Number of its first row in the whole log.
    time_unit: str = ""  # Of times that are timestamps or dates.

    def starting_at(self, first: int) -> EncodedChunk:
        return dataclasses.replace(self, first=first)


def encode(piece: Piece, number: int, schema: Schema, split: Split, spill: Spill) -> EncodedChunk:
    """Parse `piece` and put its columns aside. Raises `LogError`.

    The arrays: `label`, `weight`, `group`, `within`; `time`, or for text `time_code` and the strings `time_text`
    (`seen_time…` where the split does not go by it);
    `<use>.codes` with the strings `<use>` (tokens) or the numbers `<use>.numbers`, `<use>` as `use_of` names it.
    """
    chunk = piece.parse()
    arrays = {"label": targets.labels(chunk, schema)}
    if schema.weight is not None:
        arrays["weight"] = targets.weights(chunk, schema)
    if schema.group is not None:
        arrays["group"] = targets.groups(chunk, schema.group, schema)
    if split.within is not None:
        arrays["within"] = targets.groups(chunk, split.within, schema)
    arrays |= encoded_times(chunk, schema, split)
    for feature in schema.features:
        if not isinstance(feature, Cross) and f"{use_of(feature)}.codes" not in arrays:
            arrays |= _encoded(chunk, feature, schema)
    file = f"chunk-{number}"
    spill.put(file, arrays)
    return EncodedChunk(
        number=number,
        file=file,
        rows=chunk.rows,
        on_disk=piece.on_disk,
        place=chunk.place(0),
        time_unit=time_unit(chunk, schema),
    )


def use_of(feature: Feature) -> str:
    """The name of what a feature reads: features that read a column in the same way share it."""
    if isinstance(feature, (Categorical, Hashed)):
        return f"token:{column_of(feature)}"
    if isinstance(feature, Numeric):
        return f"number:{column_of(feature)}"
    return f"list:{feature.name}" if isinstance(feature, Sequence) else f"cross:{feature.name}"


def _encoded(chunk: Chunk, feature: Feature, schema: Schema) -> dict[str, np.ndarray]:
    use, column, reader = use_of(feature), str(column_of(feature)), f"{feature.kind} feature {feature.name!r}"
    if isinstance(feature, Numeric):
        codes, numbers = targets.read_numbers(chunk, schema, column, reader)
        return {f"{use}.codes": small(codes), f"{use}.numbers": numbers}
    try:
        if isinstance(feature, Sequence):
            coded = code_lists(chunk.columns[column], feature, schema)
        else:
            coded = code_tokens(targets.code_or_explain(chunk, column, reader), schema)
    except UnreadableValueError as error:
        raise LogError(
            f"{chunk.path}: column {column!r}, which {reader} reads: {error}. Convert the column first."
        ) from error
    return {f"{use}.codes": small(coded.codes), **strings(use, coded.values)}
