"""Decide the part of every row of an encoded log, from its times, its groups or the numbers of its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctrkit.errors import LogError
from ctrkit.records.encode import EncodedChunk
from ctrkit.records.spill import Spill
from ctrkit.records.split import PARTS, PartOf, Split
from ctrkit.schema import Schema


def decide_parts(schema: Schema, split: Split, chunks: Sequence[EncodedChunk], spill: Spill) -> list[np.ndarray]:
    """For each chunk, the place in `PARTS` of each of its rows: uint8 `[rows]`.

    Raises `LogError` when a part that was asked for would be empty, or when times are numbers here and text there.
    """
    part_of = _rule(schema, split, chunks, spill)
    parts = [part_of(chunk.first, chunk.rows, _times(spill, chunk)) for chunk in chunks]
    train, validation, test = np.sum([np.bincount(part, minlength=len(PARTS)) for part in parts], axis=0).tolist()
    split.check((train, validation, test), ties=split.by == "time")
    return parts


def _rule(schema: Schema, split: Split, chunks: Sequence[EncodedChunk], spill: Spill) -> PartOf:
    rows = sum(chunk.rows for chunk in chunks)
    if split.by == "time":
        _rank_text_times(schema, chunks, spill)
    if split.within is not None:
        groups = np.concatenate([spill.get(chunk.file, "within") for chunk in chunks])
        times = [_times(spill, chunk) for chunk in chunks]
        known = [time for time in times if time is not None]
        return split.within_groups(groups, np.concatenate(known) if known else None)
    if split.by == "random":
        return split.random()
    if split.by == "order":
        return split.by_order(rows)
    seen, counts = np.empty(0), np.empty(0, dtype=np.int64)
    for chunk in chunks:
        times_here = _times(spill, chunk)
        assert times_here is not None
        values, here = np.unique(times_here, return_counts=True)
        seen, place = np.unique(np.concatenate([seen, values]), return_inverse=True)
        merged = np.bincount(place, weights=np.concatenate([counts, here]), minlength=len(seen))
        counts = merged.astype(np.int64)
    return split.by_time(seen, counts)


def _rank_text_times(schema: Schema, chunks: Sequence[EncodedChunk], spill: Spill) -> None:
    """Replace times that are text by their rank among all of the log's."""
    text = [chunk for chunk in chunks if spill.has(chunk.file, "time_code")]
    if not text:
        return
    if len(text) < len(chunks):
        number = next(chunk for chunk in chunks if chunk not in text)
        sample = spill.get_strings(text[0].file, "time_text")[0].as_py()
        raise times_of_two_kinds(schema, number.place, text[0].place, sample)
    parts = [spill.get_strings(chunk.file, "time_text") for chunk in chunks]
    distinct = pa.chunked_array(parts).unique()
    ranked = distinct.take(pa.compute.sort_indices(distinct))
    for chunk, values in zip(chunks, parts, strict=True):
        ranks = pa.compute.index_in(values, value_set=ranked).to_numpy(zero_copy_only=False).astype(np.float64)
        spill.put(f"time-{chunk.number}", {"time": ranks[spill.get(chunk.file, "time_code").astype(np.int64) - 1]})


def times_of_two_kinds(schema: Schema, number: str, text: str, sample: str) -> LogError:
    """The error for times that are numbers in the chunk from `number` on and text, such as `sample`, from `text` on."""
    return LogError(
        f"Time column {schema.time!r} holds numbers ({number}) and text ({text}, e.g. {sample!r}). "
        "Write all times in one way, or add the spelling of a missing one to `missing:`."
    )


def _times(spill: Spill, chunk: EncodedChunk) -> np.ndarray | None:
    for file in (chunk.file, f"time-{chunk.number}"):
        if spill.has(file, "time"):
            return spill.get(file, "time")
    return None
