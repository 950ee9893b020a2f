"""Refuse raw values that are no text: bytes that are not UTF-8, and values as long as only damage makes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ctrkit.records.chunk import Chunk
from ctrkit.records.coded import Coded, code
from ctrkit.records.rejections import BadRowsError, shortened

LONGEST_VALUE = 1 << 20  # Bytes: 100,000 ids of a sequence; what is longer is not a value but a missing separator.


def check_values(chunk: Chunk, column: str, raw: Coded) -> None:
    """Raise `BadRowsError` for rows whose value is not UTF-8 or too long."""
    for reason, places in _unreadable(raw.values):
        _refuse(chunk, column, reason, np.flatnonzero(np.isin(raw.codes, places + 1)), raw.values, places)


def check_column(chunk: Chunk, column: str) -> None:
    """`check_values` of a column that may hold lists."""
    lists = chunk.columns[column]
    kind = lists.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        if pa.types.is_dictionary(kind) or _unreadable(lists):
            check_values(chunk, column, code(lists))
        return
    whole = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    elements = whole.flatten()
    for reason, places in _unreadable(elements):
        lengths = np.array(pa.compute.list_value_length(whole).fill_null(0).to_numpy(zero_copy_only=False))
        owners = np.repeat(np.arange(len(lengths)), lengths)
        _refuse(chunk, column, reason, np.unique(owners[places]), elements, places)


def _unreadable(values: pa.Array | pa.ChunkedArray) -> list[tuple[str, np.ndarray]]:
    """Why values cannot be read, and the places of those that cannot."""
    if isinstance(values, pa.ChunkedArray):
        return [found for part in values.chunks for found in _unreadable(part)]
    kind = values.type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    if not (binary or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return []
    found = []
    plain = values.cast(pa.large_binary())
    try:
        pa.Array.from_buffers(pa.large_string(), len(plain), plain.buffers(), offset=plain.offset).validate(full=True)
    except pa.ArrowInvalid:
        found.append(("not UTF-8", np.array([k for k, one in enumerate(plain.to_pylist()) if not _is_text(one)])))
    lengths = pa.compute.binary_length(plain).fill_null(0).to_numpy(zero_copy_only=False)
    long = np.flatnonzero(lengths > LONGEST_VALUE)
    return [*found, ("value too long", long)] if len(long) else found


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or bool(value.decode() or True)
    except UnicodeDecodeError:
        return False


def _refuse(chunk: Chunk, column: str, reason: str, rows: np.ndarray, values: pa.Array, places: np.ndarray) -> None:
    first = values.slice(int(places[0]), 1).cast(pa.large_binary())[0].as_py()
    what = f"a value of {len(first):,} bytes, expected at most {LONGEST_VALUE:,}"
    fix = "Mend such rows; a separator or a quote may be missing."
    if reason == "not UTF-8":
        what, fix = f"{shortened(repr(first[:200]), 80)}, which is not UTF-8", "Convert the column first."
    raise BadRowsError(
        f"{chunk.place(int(rows[0]))}: column {column!r} holds {what} ({chunk.share(len(rows))}). {fix}",
        rows=rows,
        reason=reason,
        column=column,
    )
