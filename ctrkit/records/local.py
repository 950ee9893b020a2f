"""The engine for one machine: the text is read once, then columns are counted and indexed from small codes on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ctrkit.atomic import remove_leftovers, write_json
from ctrkit.indexing import FeatureIndex
from ctrkit.progress import progress
from ctrkit.records.empty import empty_log
from ctrkit.records.encode import EncodedChunk, encode, taken
from ctrkit.records.engine import INDEX, RECORDS, PrepareOptions
from ctrkit.records.fit import Fitting
from ctrkit.records.fit_again import FittingAgain
from ctrkit.records.log import read_pieces
from ctrkit.records.parts import decide_parts
from ctrkit.records.rejections import Rejections, write_rejected
from ctrkit.records.spill import Spill
from ctrkit.records.split import PARTS, TRAIN, Split
from ctrkit.records.times import TIMES_FILE, spans
from ctrkit.records.workers import Workers
from ctrkit.records.writer import RecordWriter
from ctrkit.schema import Schema

_ALL_READ = "all-read"  # Of the spill: the number of pieces, once there are no more.


class LocalEngine:
    """Bounded memory: a few chunks of the log, the distinct values of two columns, the shuffle's buffer.

    A run that finds its own folder as a killed one left it goes on there: pieces of the log that were put aside whole
    are not read again, features that were indexed are not indexed again; records are written anew.
    """

    resumes: ClassVar[bool] = True

    def __init__(self) -> None:
        self.pieces_read = self.pieces_read_before = 0  # Of the last run.

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
        for left in (INDEX, RECORDS):
            shutil.rmtree(folder / left, ignore_errors=True)
            remove_leftovers(folder / left)
        with Workers(threads) as workers:
            read = self._read(workers, schema, files, split, options, spill)
            chunks = _numbered(read)
            parts = decide_parts(schema, split, chunks, spill)
            trained = [part == TRAIN for part in parts]
            fitting = FittingAgain(schema, chunks, spill, trained=trained, index=index, extend=extend)
            index = fitting.fit(workers)
            index.save(folder / INDEX)
            pa.default_memory_pool().release_unused()
            _write(workers, index, fitting, chunks, parts, folder / RECORDS, options)
            write_json(folder / RECORDS / TIMES_FILE, spans(split, chunks, parts, spill))
        if options.rejection.skip:
            write_rejected(folder / RECORDS, _rejected(read), sum(chunk.rows for chunk in chunks))
        return index

    def _read(
        self,
        workers: Workers,
        schema: Schema,
        files: Sequence[Path],
        split: Split,
        options: PrepareOptions,
        spill: Spill,
    ) -> list[EncodedChunk]:
        total = sum(path.stat().st_size for path in files)
        chunks = _taken_over(spill)
        self.pieces_read, self.pieces_read_before = 0, len(chunks)
        done = sum(chunk.on_disk for chunk in chunks)
        with progress("reading", total=total, unit="bytes", done=done) as shown:
            if chunks:
                shown.say(f"resuming: {len(chunks):,} pieces ({done / max(1, total):.0%} of the log) were read before")
            if spill.take(_ALL_READ) != len(chunks):
                spill.keep_only({chunk.file for chunk in chunks})
                start = chunks[-1].after if chunks else None
                pieces = read_pieces(files, schema, chunk_bytes=options.chunk_bytes, start=start)
                numbered = enumerate(pieces, start=len(chunks))
                bad_rows = options.rejection
                rejected, rows = _rejected(chunks), sum(chunk.rows for chunk in chunks)
                for chunk in workers.map(
                    lambda item: encode(item[1], item[0], schema, split, spill, bad_rows), numbered
                ):
                    chunks.append(chunk)
                    self.pieces_read += 1
                    rows += chunk.rows
                    rejected.add(chunk.rejected)
                    shown.advance(chunk.on_disk, note=f"{rows:,} rows")
                    bad_rows.check(rejected, rows, read=min(0.99, shown.done / max(1, total)))
                bad_rows.check(rejected, rows)
                if rows == 0:
                    raise empty_log(schema, files)
                spill.put(_ALL_READ, {}, len(chunks))
        return chunks


def _taken_over(spill: Spill) -> list[EncodedChunk]:
    """The chunks of a log's first pieces that a killed process put aside whole."""
    found: list[EncodedChunk] = []
    while (chunk := taken(len(found), spill)) is not None:
        found.append(chunk)
    return found


def _numbered(read: Sequence[EncodedChunk]) -> list[EncodedChunk]:
    """Those that have rows."""
    chunks: list[EncodedChunk] = []
    rows = 0
    for chunk in read:
        if chunk.rows:
            chunks.append(chunk.numbered(len(chunks), rows))
            rows += chunk.rows
    return chunks


def _rejected(read: Sequence[EncodedChunk]) -> Rejections:
    found = Rejections()
    for chunk in read:
        found.add(chunk.rejected)
    return found


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
    sizes = np.sum([np.bincount(part, minlength=len(PARTS)) for part in parts], axis=0).tolist()
    with contextlib.ExitStack() as stack:
        writers = {
            number: stack.enter_context(
                RecordWriter(
                    folder / PARTS[number],
                    fingerprint=index.fingerprint,
                    width=index.width,
                    has_weight=has_weight,
                    has_group=has_group,
                    rows=sizes[number],
                    options=options.writer,
                )
            )
            for number in range(len(PARTS))
            if sizes[number]
        }
        with progress("writing", total=sum(sizes)) as shown:
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
        if not options.writer.shuffle:
            return
        ending = stack.pop_all()
    with progress("shuffling", total=sum(sizes)) as shown, ending:
        for writer in writers.values():
            writer.on_shuffled = shown.advance
