"""Cut the tables of a checkpoint anew, for another number of parameter servers or for none."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.layers.shard import pieces, split_only
from ctrkit.progress import progress
from ctrkit.training.checkpoint import Checkpoint, unwritten
from ctrkit.training.logical import LogicalName, counts_of, is_by_row, read_whole
from ctrkit.training.saving import writing

FILE_BYTES = 256 * 1024 * 1024  # What is gathered in memory before it is written, beyond one table.


def recut(checkpoint: Checkpoint, parts: Mapping[int, int], directory: Path | None = None) -> Checkpoint:
    """Write `checkpoint` again with its weights and their slots cut into `parts`, and return the new one.

    One table at a time is in memory. The old checkpoint is left as it is and stays the newest until the new one, of
    the same step, is whole.

    Args:
        checkpoint: whole.
        parts: place of a weight in `model.weights` -> number of parts; what is missing becomes whole.
        directory: where to write; beside the old one when None.
    Raises:
        ArtifactError: the disk is full; the old checkpoint is still there.
    """
    directory = checkpoint.directory if directory is None else directory
    stamp = checkpoint.stamp()
    before, now = counts_of(stamp.parts), split_only(parts)
    new = unwritten(directory, checkpoint.step)
    with writing(new), tf.device("cpu"):
        file = TensorWriter(new.prefix)
        with progress("cutting tables anew", total=sum(stamp.files.values()), unit="bytes") as shown:
            for name, value in _tensors(tf.train.load_checkpoint(checkpoint.prefix), before, now):
                file.add(name, value)
                shown.advance(value.nbytes)
            file.close()
        new.seal(replace(stamp, parts={str(place): count for place, count in now.items()}))
    return new


def _tensors(reader: Any, before: Mapping[int, int], now: Mapping[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """All tensors of a checkpoint under the names and in the pieces of the new cut."""
    shapes = reader.get_variable_to_shape_map()
    rows = _rows(shapes)
    done: set[LogicalName] = set()
    for text in sorted(shapes):
        name = LogicalName.parse(text)
        if name is None or before.get(name.weight, 1) == now.get(name.weight, 1):
            yield text, np.asarray(reader.get_tensor(text))
            continue
        whole = replace(name, part=None)
        if whole not in done:
            done.add(whole)
            count = now.get(whole.weight, 1)
            value = read_whole(reader, whole, before.get(whole.weight, 1))
            by_row = is_by_row(value.shape, [rows[whole.weight]])
            yield from zip(
                map(str, whole.pieces(count)), pieces(value, count) if by_row else [value] * count, strict=True
            )


def _rows(shapes: Mapping[str, list[int]]) -> Counter[int]:
    """The rows of each whole weight."""
    rows: Counter[int] = Counter()
    for text, shape in shapes.items():
        name = LogicalName.parse(text)
        if name is not None and name.slot is None:
            rows[name.weight] += shape[0] if shape else 0
    return rows


class TensorWriter:
    """Writes tensors in several files, so that not all of them have to be in memory, and joins these at the end."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._written = prefix, list[str]()
        self._names, self._values, self._bytes = list[str](), list[np.ndarray](), 0

    def add(self, name: str, value: np.ndarray) -> None:
        self._names.append(name)
        self._values.append(np.ascontiguousarray(value).reshape(value.shape))
        self._bytes += value.nbytes
        if self._bytes >= FILE_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=self._written, destination_prefix=self._prefix, delete_old_dirs=True
        )

    def _flush(self) -> None:
        if not self._names:
            return
        prefix = f"{self._prefix}_temp/part-{len(self._written):05d}"
        with contextlib.suppress(FileExistsError):
            Path(prefix).parent.mkdir()
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=self._names,
            shape_and_slices=[""] * len(self._names),
            tensors=[tf.convert_to_tensor(value) for value in self._values],
        )
        self._written.append(prefix)
        self._names, self._values, self._bytes = [], [], 0
