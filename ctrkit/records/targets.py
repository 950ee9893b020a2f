"""Read the columns of a chunk that are no features: label, weight, group and time."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pyarrow as pa

from ctrkit.errors import LogError
from ctrkit.indexing.columns import UnreadableValueError
from ctrkit.indexing.hashing import hash64
from ctrkit.records.chunk import Chunk
from ctrkit.records.coded import Coded, code, code_numbers, code_tokens
from ctrkit.records.readable import check_values
from ctrkit.records.rejections import BadRowsError
from ctrkit.schema import Schema

NO_GROUP = -(2**63)  # Rows whose group is missing; they form one group.


def labels(chunk: Chunk, schema: Schema) -> np.ndarray:
    """float32 `[rows]`, each 0 or 1. Raises `BadRowsError` with a value that is none, its count and what to write."""
    rule = schema.label
    raw = code_or_explain(chunk, rule.column, "the label")
    raw = raw if _is_number(raw) else code_tokens(raw, schema)
    _refuse_missing(chunk, raw.codes == 0, f"label column {rule.column!r}", "Drop such rows from the log.", rule.column)
    table = np.full(len(raw.values) + 1, np.nan, dtype=np.float32)
    for place, value in enumerate(raw.values.to_pylist(), start=1):
        with contextlib.suppress(ValueError):
            table[place] = rule.is_positive(value)
    found = table[raw.codes]
    bad = np.flatnonzero(np.isnan(found))
    if len(bad):
        value = raw.values[int(raw.codes[bad[0]]) - 1].as_py()
        got = f"{chunk.place(int(bad[0]))}: label column {rule.column!r} holds {value!r}"
        fix = f"expected 0 or 1. Write a rule in the schema, e.g. `label: {rule.column} >= 4`"
        if rule.operator is not None:
            fix = f"which the rule `{rule}` cannot compare as a number. Mend the log, or compare with a quoted string"
        message = f"{got}, {fix} ({chunk.share(len(bad))})."
        raise BadRowsError(message, rows=bad, reason="no label", column=rule.column)
    return found


def _is_number(raw: Coded) -> bool:
    kind = raw.values.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def weights(chunk: Chunk, schema: Schema) -> np.ndarray:
    """float32 `[rows]`, finite and not negative. Raises `BadRowsError`."""
    assert schema.weight is not None
    codes, table = read_numbers(chunk, schema, schema.weight, "`weight`")
    found = table[codes].astype(np.float32)
    bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(bad):
        value = found[bad[0]]
        shown = "nothing (or NaN)" if math.isnan(value) else value
        raise BadRowsError(
            f"{chunk.place(int(bad[0]))}: weight column {schema.weight!r} holds {shown}, expected a finite number >= 0 "
            f"({chunk.share(len(bad))}). Mend or drop such rows.",
            rows=bad,
            reason="no weight",
            column=schema.weight,
        )
    return found


def groups(chunk: Chunk, column: str, schema: Schema) -> np.ndarray:
    """int64 `[rows]`: the integer itself where the value is one, else its hash; `NO_GROUP` where missing."""
    coded = code_tokens(code_or_explain(chunk, column, "`group`"), schema)
    table = np.full(len(coded.values) + 1, NO_GROUP, dtype=np.int64)
    table[1:] = [_group(token) for token in coded.values.to_pylist()]
    return table[coded.codes]


def _group(token: str) -> int:
    digits = token[1:] if token.startswith("-") else token
    if len(digits) <= 18 and digits.isascii() and digits.isdigit() and str(int(token)) == token:
        return int(token)
    return int(np.uint64(hash64(token)).astype(np.int64))


def times(chunk: Chunk, schema: Schema) -> np.ndarray | Coded:
    """float64 `[rows]` where the column holds numbers, timestamps or dates; else its tokens, which sort as text.

    Where most rows hold numbers, text is no time. Raises `BadRowsError` for that and for a missing time.
    """
    column = schema.time
    assert column is not None
    array = chunk.columns[column]
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        array = array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    raw = code_or_explain(chunk, column, "`time`", array)
    coded = raw if _is_number(raw) else code_tokens(raw, schema)
    what, fix = f"time column {column!r}", "A split by time needs a time in every row."
    try:
        codes, table = code_numbers(coded, schema)
    except UnreadableValueError:
        _refuse_missing(chunk, coded.codes == 0, what, fix, column)
        text = np.flatnonzero(np.isin(coded.codes, 1 + _no_numbers(coded, schema)))
        if 2 * len(text) >= chunk.rows:
            return coded
        value = coded.values[int(coded.codes[text[0]]) - 1].as_py()
        raise BadRowsError(
            f"{chunk.place(int(text[0]))}: {what} holds {value!r}, expected a number as in most rows "
            f"({chunk.share(len(text))}). Mend such rows, or add the spelling of a missing time to `missing:` in the "
            "schema's format.",
            rows=text,
            reason="no number",
            column=column,
        ) from None
    found = table[codes]
    _refuse_missing(chunk, np.isnan(found), what, fix, column)
    return found


def read_numbers(chunk: Chunk, schema: Schema, column: str, reader: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a number column and float64 of each code. Raises `BadRowsError` for text that is no number."""
    raw = code_or_explain(chunk, column, reader)
    try:
        return code_numbers(raw, schema)
    except UnreadableValueError as error:
        bad = np.flatnonzero(np.isin(raw.codes, 1 + _no_numbers(raw, schema)))
        value = raw.values[int(raw.codes[bad[0]]) - 1].as_py()
        raise BadRowsError(
            f"{chunk.place(int(bad[0]))}: column {column!r} holds {value!r}, but {reader} expects {error.expected} "
            f"({chunk.share(len(bad))}). If it means no value, add it to `missing:` in the "
            f"schema's format; if it is a name, declare {column!r} as categorical.",
            rows=bad,
            reason="no number",
            column=column,
        ) from error


def _no_numbers(raw: Coded, schema: Schema) -> np.ndarray:
    """The places of the values that are no numbers."""
    found = []
    for place, value in enumerate(raw.values.to_pylist()):
        try:
            code_numbers(Coded(codes=np.zeros(0, np.int32), values=pa.array([value], raw.values.type)), schema)
        except UnreadableValueError:
            found.append(place)
    return np.array(found, dtype=np.int64)


def code_or_explain(chunk: Chunk, column: str, reader: str, array: pa.Array | None = None) -> Coded:
    """The coded raw values of a column that holds one value a row.

    Raises `LogError` for lists and the like, `BadRowsError` for values that are no text.
    """
    values = chunk.columns[column] if array is None else array
    try:
        raw = code(values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise LogError(
            f"{chunk.path}: column {column!r} has type {values.type}, but {reader} expects one value a row. "
            "A list is read by a feature of `kind: sequence`."
        ) from error
    check_values(chunk, column, raw)
    return raw


def _refuse_missing(chunk: Chunk, missing: np.ndarray, what: str, fix: str, column: str) -> None:
    rows = np.flatnonzero(missing)
    if len(rows):
        message = f"{chunk.place(int(rows[0]))}: {what} is missing ({chunk.share(len(rows))}). {fix}"
        raise BadRowsError(message, rows=rows, reason="missing", column=column)
