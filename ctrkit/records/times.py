"""From when to when the rows of each part are: what a person asks of a data set first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ctrkit.errors import LogError
from ctrkit.records import targets
from ctrkit.records.chunk import Chunk
from ctrkit.records.coded import Coded
from ctrkit.records.spill import Spill, small, strings
from ctrkit.records.split import PARTS, Split
from ctrkit.schema import Schema

if TYPE_CHECKING:
    from ctrkit.records.encode import EncodedChunk

TIMES_FILE = "times.json"  # Beside the parts' folders.
SPLIT, SEEN = "time", "seen_time"  # Names of the arrays: the split reads the first, nobody but this file the second.

Span = tuple[Any, Any]  # The first and the last time: numbers as the log has them, or text (ISO 8601 of timestamps).


def encoded_times(chunk: Chunk, schema: Schema, split: Split) -> dict[str, np.ndarray]:
    """The times of a chunk as arrays to put aside; none where the schema names no time.

    Raises `LogError` for a missing time where the split goes by time; else a chunk with one has no arrays.
    """
    if split.by == "time":
        return _arrays(targets.times(chunk, schema), SPLIT)
    if schema.time is None:
        return {}
    try:
        return _arrays(targets.times(chunk, schema), SEEN)
    except LogError:
        return {}


def time_unit(chunk: Chunk, schema: Schema) -> str:
    """Of timestamps and dates, as numpy names it; empty for times that are numbers or text."""
    kind = None if schema.time is None else chunk.columns[schema.time].type
    if kind is None:
        return ""
    if pa.types.is_timestamp(kind):
        return str(kind.unit)
    return "D" if pa.types.is_date32(kind) else "ms" if pa.types.is_date64(kind) else ""


def spans(split: Split, chunks: Sequence[EncodedChunk], parts: Sequence[np.ndarray], spill: Spill) -> dict[str, Span]:
    """The first and the last time of each part; without the parts of which not all times are known."""
    return merged_spans(chunk_spans(split, c, part, spill) for c, part in zip(chunks, parts, strict=True))


def chunk_spans(split: Split, chunk: EncodedChunk, part: np.ndarray, spill: Spill) -> dict[str, Span | None]:
    """The first and the last time of each part that has rows in a chunk; None where not all are known."""
    name = SPLIT if split.by == "time" else SEEN
    return {PARTS[number]: _span(chunk, part == number, name, spill) for number in np.unique(part).tolist()}


def merged_spans(found: Iterable[Mapping[str, Span | None]]) -> dict[str, Span]:
    """Those of the whole log, of the spans of its chunks."""
    told: dict[str, list[Span | None]] = {}
    for here in found:
        for part, span in here.items():
            told.setdefault(part, []).append(span)
    whole = {}
    for part in PARTS:
        known = [span for span in told.get(part, []) if span is not None]
        kinds = {type(one) for span in known for one in span}
        if known and len(known) == len(told[part]) and (len(kinds) == 1 or kinds <= {int, float}):
            whole[part] = (min(span[0] for span in known), max(span[1] for span in known))
    return whole


def _arrays(times: np.ndarray | Coded, name: str) -> dict[str, np.ndarray]:
    if isinstance(times, Coded):
        return {f"{name}_code": small(times.codes), **strings(f"{name}_text", times.values)}
    return {name: times}


def _span(chunk: EncodedChunk, rows: np.ndarray, name: str, spill: Spill) -> Span | None:
    if spill.has(chunk.file, name):
        times = spill.get(chunk.file, name)[rows]
        return _shown(float(times.min()), chunk.time_unit), _shown(float(times.max()), chunk.time_unit)
    if spill.has(chunk.file, f"{name}_code"):
        places = np.unique(spill.get(chunk.file, f"{name}_code")[rows]).astype(np.int64) - 1
        ends = pa.compute.min_max(spill.get_strings(chunk.file, f"{name}_text").take(pa.array(places)))
        return ends["min"].as_py(), ends["max"].as_py()
    return None


def _shown(time: float, unit: str) -> Any:
    if unit:
        return str(np.datetime64(int(time), unit).astype("datetime64[D]" if unit == "D" else "datetime64[s]"))
    return int(time) if time.is_integer() else time
