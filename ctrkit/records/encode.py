"""Parse a piece of the log and put it aside as codes and distinct values, column by column."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ctrkit.errors import LogError
from ctrkit.indexing.columns import UnreadableValueError
from ctrkit.records import targets
from ctrkit.records.chunk import Chunk, Piece, Position
from ctrkit.records.coded import code_lists, code_tokens
from ctrkit.records.readable import check_column
from ctrkit.records.rejections import SAMPLES, SKIP, BadRows, BadRowsError, Rejections
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
    rejected: Rejections = field(default_factory=Rejections)  # Rows of the piece that are not in the chunk.
    after: Position = field(default_factory=Position)  # Where the log goes on.

    def numbered(self, number: int, first: int) -> EncodedChunk:
        """The same, as chunk `number` of those that have rows, whose rows begin at `first`."""
        return dataclasses.replace(self, number=number, first=first)


def encode(
    piece: Piece, number: int, schema: Schema, split: Split, spill: Spill, bad_rows: BadRows | None = None
) -> EncodedChunk:
    """Parse `piece` and put its columns aside; `taken` finds them again. Raises `LogError`.

    The arrays: `label`, `weight`, `group`, `within`; `time`, or for text `time_code` and the strings `time_text`
    (`seen_time…` where the split does not go by it);
    `<use>.codes` with the strings `<use>` (tokens) or the numbers `<use>.numbers`, `<use>` as `use_of` names it.
    """
    chunk, arrays, rejected = encoded(piece, schema, split, bad_rows)
    file = f"chunk-{number}"
    found = EncodedChunk(
        number=number,
        file=file,
        rows=chunk.rows,
        on_disk=piece.on_disk,
        place=f"{chunk.path}, {chunk.unit} {chunk.first:,}",
        time_unit=time_unit(chunk, schema),
        rejected=rejected,
        after=piece.after,
    )
    told = {**vars(found), "rejected": rejected.to_dict(), "after": vars(found.after)}
    spill.put(file, arrays, told)
    return found


def taken(number: int, spill: Spill) -> EncodedChunk | None:
    """The chunk of piece `number` that an earlier process put aside, None when it is not there or not whole."""
    told = spill.take(f"chunk-{number}")
    if told is None:
        return None
    return EncodedChunk(
        **{**told, "rejected": Rejections.from_dict(told["rejected"]), "after": Position(**told["after"])}
    )


def encoded(
    piece: Piece, schema: Schema, split: Split, bad_rows: BadRows | None = None
) -> tuple[Chunk, dict[str, np.ndarray], Rejections]:
    """The rows of `piece` that fit the schema, their columns as `encode` puts them aside, and those left out.

    What is left out depends on a row alone, but for times: see `targets.times`. Raises `LogError` for a piece that
    cannot be read, and for a row that does not fit, unless `bad_rows` are skipped.
    """
    rejected = Rejections()
    skip = bad_rows is not None and bad_rows.skip
    try:
        chunk = piece.parse(rejected if skip else None)
        arrays: dict[str, np.ndarray] = {}
        readers = list(_readers(schema, split)) if chunk.rows else []
        while readers and chunk.rows:
            try:
                arrays |= readers[0](chunk)
                readers.pop(0)
            except BadRowsError as fault:
                if not skip:
                    raise
                shown = [chunk.shown(row) for row in fault.rows[:SAMPLES].tolist()]
                rejected.reject(fault.reason, fault.column, shown, len(fault.rows))
                chunk = chunk.without(fault.rows)
                arrays = {key: np.delete(a, fault.rows, 0) if _by_row(key) else a for key, a in arrays.items()}
    except BadRowsError as error:
        raise LogError(f"{error} {SKIP}") from error
    return chunk, arrays, rejected


def _by_row(key: str) -> bool:
    """Whether an array has an entry for each row of the chunk, not for each distinct value."""
    return not key.endswith((".bytes", ".offsets", ".numbers"))


def _readers(schema: Schema, split: Split) -> Iterator[Callable[[Chunk], dict[str, np.ndarray]]]:
    """What reads the columns, the first to refuse a row first; times are last as one is missed by all rows."""
    yield lambda chunk: {"label": targets.labels(chunk, schema)}
    if schema.weight is not None:
        yield lambda chunk: {"weight": targets.weights(chunk, schema)}
    for name, column in (("group", schema.group), ("within", split.within)):
        if column is not None:
            yield partial(_groups, name=name, column=column, schema=schema)
    seen = set()
    for feature in schema.features:
        if not isinstance(feature, Cross) and use_of(feature) not in seen:
            seen.add(use_of(feature))
            yield partial(_encoded, feature=feature, schema=schema)
    yield lambda chunk: encoded_times(chunk, schema, split)


def _groups(chunk: Chunk, name: str, column: str, schema: Schema) -> dict[str, np.ndarray]:
    return {name: targets.groups(chunk, column, schema)}


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
            check_column(chunk, column)
            coded = code_lists(chunk.columns[column], feature, schema)
        else:
            coded = code_tokens(targets.code_or_explain(chunk, column, reader), schema)
    except UnreadableValueError as error:
        raise LogError(
            f"{chunk.path}: column {column!r}, which {reader} reads: {error}. Convert the column first."
        ) from error
    return {f"{use}.codes": small(coded.codes), **strings(use, coded.values)}
