"""Records to row-wise `tf.train.Example`s with named features, as other tools read them, and back, exactly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ctrkit.atomic import atomic_directory
from ctrkit.errors import ArtifactError, IndexMismatchError, LogError
from ctrkit.indexing import FeatureIndex
from ctrkit.progress import progress
from ctrkit.records.block import decode
from ctrkit.records.corruption import read_blocks
from ctrkit.records.disk import disk_errors
from ctrkit.records.example_log import read_frames
from ctrkit.records.manifest import Manifest
from ctrkit.records.row_wise import GROUP, LABEL, WEIGHT, chunks_of_rows, encode_rows, named_columns
from ctrkit.records.tfds_folder import INFO_FILE, is_tfds, tfds_shards
from ctrkit.records.tfds_metadata import Described, SplitShards, write_metadata
from ctrkit.records.writer import RecordWriter, WriterOptions

_ROWS_AT_ONCE = 16_384
_CHUNK = 8 << 20  # Bytes read at once.
METADATA_FILE = "metadata.json"


def export_records(
    parts: Mapping[str, Manifest],
    index: FeatureIndex,
    folder: str | os.PathLike[str],
    described: Described,
    *,
    shard_rows: int = 128 * 1024,
) -> int:
    """Write `folder/PART/shard-….tfrecord` of one example a row, which `tfds.builder_from_directory(folder)` loads.

    Each feature of the index is an int64 feature of its name (a sequence has `max_length` values, 0 behind the last);
    `label`, `weight` and `group` follow, where the records have them. The rows keep their order.

    Returns the number of rows. The folder appears whole or not at all. Raises `ArtifactError` where other things are in
    it, `IndexMismatchError` for records of another index, `CorruptRecordsError`, and `ConfigError` for a feature that
    has the name of the label's, the weight's or the group's.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not is_tfds(folder):
        raise ArtifactError(f"{folder} holds other things. Remove them, or name another folder: out=FOLDER.")
    lengths = {field.name: field.length for field in index.fields}
    total = sum(manifest.rows for manifest in parts.values())
    splits = {}
    some = next(iter(parts.values()))
    with (
        disk_errors(folder),
        atomic_directory(folder) as temporary,
        progress("exporting", total=total, unit="rows") as shown,
    ):
        for part, manifest in parts.items():
            manifest.check_fingerprint(index.fingerprint)
            (temporary / part).mkdir()
            number = max(1, -(-manifest.rows // shard_rows))
            rows_of, size = [0] * number, 0
            arrays = (decode(payload, manifest.layout) for payload in read_blocks(manifest))
            chunks = _cut(chunks_of_rows(arrays, _ROWS_AT_ONCE), shard_rows)
            for shard in range(number):
                with open(temporary / part / f"shard-{shard:05d}-of-{number:05d}.tfrecord", "wb") as file:
                    while rows_of[shard] < min(shard_rows, manifest.rows - shard * shard_rows):
                        chunk = next(chunks)
                        encoded = encode_rows(named_columns(lengths, **chunk))
                        file.write(encoded.data)
                        rows_of[shard] += len(encoded)
                        size += encoded.size
                        shown.advance(len(encoded))
            splits[part] = SplitShards(lengths=rows_of, bytes=size)
        features = {name: ("int64", length) for name, length in lengths.items()}
        features[LABEL] = ("float32", some.labels)
        features |= {WEIGHT: ("float32", 1)} if some.has_weight else {}
        features |= {GROUP: ("int64", 1)} if some.has_group else {}
        metadata = {"format": "ctrkit rows", "fingerprint": index.fingerprint, "lengths": lengths}
        write_metadata(temporary, described, features, splits, metadata)
    return total


def import_records(
    folder: str | os.PathLike[str],
    index: FeatureIndex,
    out: str | os.PathLike[str],
    *,
    options: WriterOptions | None = None,
) -> dict[str, Manifest]:
    """Write `out/PART` with the rows of a folder that `export_records` wrote, or another tool of that form.

    Without `options` the rows keep their order. Returns what was written, part by part. Raises `ArtifactError` where
    there is no such folder, `IndexMismatchError` when it was made with another index, `LogError` naming the record of a
    feature that is absent or has another number of values, and `ShapeError` for an id that cannot be.
    """
    folder, out = Path(folder), Path(out)
    if not is_tfds(folder):
        raise ArtifactError(f"{folder} has no {INFO_FILE} and features.json. Write it with `ctrkit records export`.")
    names = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    has = set(names.get("featuresDict", {}).get("features", {}))
    stamped = _metadata(folder).get("fingerprint")
    if stamped is not None and stamped != index.fingerprint:
        raise IndexMismatchError(
            f"{folder} was made with index {str(stamped)[:12]}, this one is {index.fingerprint[:12]}: its rows mean "
            "other values. Use that index."
        )
    written = {}
    options = WriterOptions(shuffle=False) if options is None else options
    shards: dict[str, list[Path]] = {}
    for path in tfds_shards(folder):
        shards.setdefault(path.parent.name, []).append(path)
    for part, paths in shards.items():
        with RecordWriter(
            out / part,
            fingerprint=index.fingerprint,
            width=index.width,
            has_weight=WEIGHT in has,
            has_group=GROUP in has,
            options=options,
        ) as writer:
            for path in paths:
                for rows in _rows(path, index, has_weight=WEIGHT in has, has_group=GROUP in has):
                    writer.write(**rows)
        written[part] = writer.manifest
    return written


def _cut(chunks: Iterator[dict[str, np.ndarray]], shard_rows: int) -> Iterator[dict[str, np.ndarray]]:
    """The same rows in chunks of which none crosses from one shard to the next."""
    at = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk["ids"]):
            stop = min(len(chunk["ids"]), start + shard_rows - at % shard_rows)
            yield {name: array[start:stop] for name, array in chunk.items()}
            at, start = at + stop - start, stop


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / METADATA_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _rows(path: Path, index: FeatureIndex, *, has_weight: bool, has_group: bool) -> Iterator[dict[str, np.ndarray]]:
    """The rows of a file as `RecordWriter.write` takes them."""
    more = [LABEL, *([WEIGHT] if has_weight else []), *([GROUP] if has_group else [])]
    lengths = {field.name: field.length for field in index.fields}
    for frames in read_frames(path, _CHUNK):
        columns, _, _ = frames.columns([*lengths, *more], [*lengths, *more])
        arrays = {}
        for name, column in columns.items():
            length = lengths.get(name, 1)
            sizes = pa.compute.list_value_length(column).fill_null(0).to_numpy() if column.type != pa.null() else [0]
            wrong = np.flatnonzero(np.asarray(sizes) != length)
            if len(wrong):
                raise LogError(
                    f"{path}, record {frames.first + int(wrong[0]):,}: feature {name!r} has {sizes[int(wrong[0])]} "
                    f"values, expected {length}. Is it of another index?"
                )
            arrays[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(frames.starts), length)
        ids = np.concatenate([arrays[name] for name in lengths], axis=1)
        rest = {name: arrays[name][:, 0] for name in more}
        yield {"ids": ids, **rest}
