"""Write impressions as shards of shuffled blocks; the directory appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from ctrkit.atomic import atomic_directory
from ctrkit.errors import ArtifactError, ConfigError
from ctrkit.records.disk import disk_errors
from ctrkit.records.layout import RowLayout
from ctrkit.records.manifest import Manifest
from ctrkit.records.shards import ShardStream
from ctrkit.records.shuffle import HashOrder
from ctrkit.records.workers import Workers


@dataclass(frozen=True, kw_only=True)
class WriterOptions:
    """How records are laid out on disk."""

    block_rows: int = 1024  # Rows of one TFRecord record.
    shard_rows: int = 128 * 1024  # Rows of one file; a multiple of block_rows.
    shuffle: bool = True  # Globally, over all rows; False keeps the order of the log.
    seed: int = 0  # Of the shuffle.
    memory: int = 32  # MB of rows held by the shuffle before they go to bucket files.

    def __post_init__(self) -> None:
        for name in ("block_rows", "shard_rows", "memory"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}: got {value!r}, expected a whole number of at least 1.")
        if self.shard_rows % self.block_rows:
            near = max(1, round(self.shard_rows / self.block_rows)) * self.block_rows
            raise ConfigError(
                f"shard_rows: got {self.shard_rows:,}, expected a multiple of block_rows ({self.block_rows:,}). "
                f"Type shard_rows={near}."
            )

    @property
    def shuffle_seed(self) -> int | None:
        """Seed of the shuffle; None where there is none."""
        return self.seed if self.shuffle else None


class RecordWriter:
    """Writes one directory of records; use it in a `with` block.

    >>> with RecordWriter(path, fingerprint=index.fingerprint, width=index.width) as writer:  # doctest: +SKIP
    ...     writer.write(ids, label)

    Rows may come in chunks of any size: the same rows in the same order give the same bytes. When the block ends the
    shards and manifest.json are in `directory`, replacing what was there; after an exception or a kill `directory` is
    as it was. After the block, `manifest` describes what was written.

    Args:
      directory: where the records go.
      fingerprint: of the feature index that gave the rows.
      width: columns of `ids`.
      labels: labels of an impression.
      has_weight, has_group: whether `write` gets weights and groups.
      rows: about how many there will be, where that is known; a shuffle of very many then writes them fewer times.

    Raises:
      ArtifactError: the disk is full or cannot be written.
    """

    manifest: Manifest

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        fingerprint: str,
        width: int,
        labels: int = 1,
        has_weight: bool = False,
        has_group: bool = False,
        rows: int = 0,
        options: WriterOptions | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.options = options if options is not None else WriterOptions()
        self.rows = 0  # Written so far.
        self.on_shuffled: Callable[[int], object] | None = None  # Told how many rows left the shuffle.
        self._fingerprint, self._expected = fingerprint, rows
        self._layout = RowLayout(width=width, labels=labels, has_weight=has_weight, has_group=has_group)
        self._label_sums = np.zeros(labels, dtype=np.float64)
        self._open: contextlib.ExitStack | None = None

    def __enter__(self) -> RecordWriter:
        with contextlib.ExitStack() as stack, disk_errors(self.directory):
            self._temporary = stack.enter_context(atomic_directory(self.directory))
            self._shards = ShardStream(
                self._temporary,
                self._layout,
                block_rows=self.options.block_rows,
                shard_rows=self.options.shard_rows,
            )
            stack.callback(self._shards.abandon)
            self._order = HashOrder(
                self._temporary / "buckets",
                self._layout.words,
                stack.enter_context(Workers(1)),
                seed=self.options.seed,
                memory=self.options.memory * 2**20,
                rows=self._expected,
            )
            self._open = stack.pop_all()
        return self

    def write(
        self,
        ids: np.ndarray,
        label: np.ndarray,
        weight: np.ndarray | None = None,
        group: np.ndarray | None = None,
    ) -> None:
        """Append `n` rows.

        Args:
          ids: `int32 [n, width]`, each in `[0, 2**31)`.
          label: `float32 [n]` or `[n, labels]`, finite.
          weight: `float32 [n]`, finite and not negative; when the writer was made with `has_weight`.
          group: `int64 [n]`; when the writer was made with `has_group`.

        Raises:
          ShapeError: an array of a wrong shape or type, or an id out of range.
          LogError: a label or weight that is no number to learn from.
          ArtifactError: the disk is full.
        """
        if self._open is None:
            raise ArtifactError(f"The writer of {self.directory} is closed. Write inside its `with` block.")
        packed = self._layout.pack(ids, label, weight, group)
        start = self._layout.width
        labels = packed[:, start : start + self._layout.labels].view("<f4")
        self._label_sums += labels.sum(axis=0, dtype=np.float64)
        self.rows += len(packed)
        with disk_errors(self.directory):
            (self._order if self.options.shuffle else self._shards).write(packed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._open is not None
        stack, self._open = self._open, None
        if error is not None:
            stack.__exit__(kind, error, trace)
            return
        with disk_errors(self.directory), stack:
            if self.options.shuffle:
                for packed in self._order.drain():
                    self._shards.write(packed)
                    if self.on_shuffled is not None:
                        self.on_shuffled(len(packed))
            written = Manifest(
                directory=self._temporary,
                fingerprint=self._fingerprint,
                width=self._layout.width,
                labels=self._layout.labels,
                has_weight=self._layout.has_weight,
                has_group=self._layout.has_group,
                rows=self.rows,
                label_sums=tuple(self._label_sums.tolist()),
                block_rows=self.options.block_rows,
                seed=self.options.shuffle_seed,
                shards=self._shards.close(),
            )
            written.save()
        self.manifest = Manifest.load(self.directory)
