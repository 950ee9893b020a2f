"""The engine for one machine: the text is read once, then columns are counted and indexed from small codes on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ctrkit.atomic import write_json
from ctrkit.errors import LogError
from ctrkit.indexing import FeatureIndex
from ctrkit.progress import progress
from ctrkit.records.encode import EncodedChunk, encode
from ctrkit.records.engine import INDEX, RECORDS, PrepareOptions
from ctrkit.records.fit import Fitting
from ctrkit.records.log import read_pieces
from ctrkit.records.parts import decide_parts
from ctrkit.records.spill import Spill
from ctrkit.records.split import PARTS, TRAIN, Split
from ctrkit.records.times import TIMES_FILE, spans
from ctrkit.records.workers import Workers
from ctrkit.records.writer import RecordWriter
from ctrkit.schema import Schema
from ctrkit.schema.schema import TEXT_FORMATS


class LocalEngine:
    """Bounded memory: a few chunks of the log, the distinct values of two columns, the shuffle's buffer."""

    def run(
        self,
        schema: Schema,
        files: Sequence[Path],
        folder: Path,
        *,
        split: Split,
        options: PrepareOptions,
        index: FeatureIndex | None,
        extend: FeatureIndex | None = None,
    ) -> FeatureIndex:
        """See `Engine.run`."""
        threads = min(8, os.cpu_count() or 1) if options.threads is None else options.threads
        spill = Spill(folder / "spill")
        with Workers(threads) as workers:
            chunks = _read(workers, schema, files, split, options, spill)
            parts = decide_parts(schema, split, chunks, spill)
            trained = [part == TRAIN for part in parts]
            fitting = Fitting(schema, chunks, spill, trained=trained, index=index, extend=extend)
            index = fitting.fit(workers)
            index.save(folder / INDEX)
            pa.default_memory_pool().release_unused()
            _write(workers, index, fitting, chunks, parts, folder / RECORDS, options)
            write_json(folder / RECORDS / TIMES_FILE, spans(split, chunks, parts, spill))
        spill.remove()
        return index


def _read(
    workers: Workers,
    schema: Schema,
    files: Sequence[Path],
    split: Split,
    options: PrepareOptions,
    spill: Spill,
) -> list[EncodedChunk]:
    total = sum(path.stat().st_size for path in files)
    chunks: list[EncodedChunk] = []
    rows = 0
    with progress("reading", total=total, unit="bytes") as shown:
        pieces = enumerate(read_pieces(files, schema, chunk_bytes=options.chunk_bytes))
        for chunk in workers.map(lambda item: encode(item[1], item[0], schema, split, spill), pieces):
            chunks.append(chunk.starting_at(rows))
            rows += chunk.rows
            shown.advance(chunk.on_disk, note=f"{rows:,} rows")
    if rows == 0:
        names = ", ".join(str(path) for path in files[:3]) + (", …" if len(files) > 3 else "")
        header = total > 0 and schema.format.kind in TEXT_FORMATS
        raise LogError(
            f"The log is empty: {names} {'has no rows' if total else 'has no bytes'}"
            + (" after the line of column names. " if header and schema.format.columns is None else ". ")
            + "Check the path, and the step that wrote it."
        )
    return chunks


def _write(
    workers: Workers,
    index: FeatureIndex,
    fitting: Fitting,
    chunks: Sequence[EncodedChunk],
    parts: Sequence[np.ndarray],
    folder: Path,
    options: PrepareOptions,
) -> None:
    has_weight, has_group = fitting.schema.weight is not None, fitting.schema.group is not None
    used = [number for number in range(len(PARTS)) if any((part == number).any() for part in parts)]
    with progress("writing", total=sum(map(len, parts)), unit="rows") as shown, contextlib.ExitStack() as stack:
        writers = {
            number: stack.enter_context(
                RecordWriter(
                    folder / PARTS[number],
                    fingerprint=index.fingerprint,
                    width=index.width,
                    has_weight=has_weight,
                    has_group=has_group,
                    options=options.writer,
                )
            )
            for number in used
        }
        for chunk, ids in workers.map(lambda chunk: (chunk, fitting.ids(chunk, index)), chunks):
            part = parts[chunk.number]
            label = fitting.spill.get(chunk.file, "label")
            weight = fitting.spill.get(chunk.file, "weight") if has_weight else None
            group = fitting.spill.get(chunk.file, "group") if has_group else None
            for number, writer in writers.items():
                rows = np.flatnonzero(part == number)
                if len(rows):
                    writer.write(
                        ids[rows] if len(rows) < len(ids) else ids,
                        label[rows],
                        None if weight is None else weight[rows],
                        None if group is None else group[rows],
                    )
            shown.advance(chunk.rows)
