"""Read records: whole, as numpy arrays, or batch by batch as `tf.data`, seeded and resumable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrkit.errors import ConfigError
from ctrkit.indexing import FeatureIndex
from ctrkit.records.block import decode
from ctrkit.records.corruption import explain, read_blocks
from ctrkit.records.manifest import Manifest
from ctrkit.records.runs import RunTable

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Which batches of some records to read, in what order."""

    batch_size: int  # Rows.
    shuffle: bool = False
    seed: int = 0  # Of the shuffle; with the epoch's number it decides the order.
    epochs: int | None = 1  # None: for ever.
    skip_batches: int = 0  # Batches, over all epochs, that were read before.
    drop_remainder: bool = False  # Leave out the last, smaller batch of each epoch.
    worker: tuple[int, int] = (0, 1)  # (i, n): the i-th of n disjoint shares.

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("epochs", 1), ("skip_batches", 0)):
            value = getattr(self, name)
            if (value is None and name == "epochs") or (isinstance(value, (int, np.integer)) and value >= least):
                continue
            raise ConfigError(f"{name}: got {value!r}, expected a whole number of at least {least}.")
        if not isinstance(self.seed, (int, np.integer)) or not -(2**63) <= self.seed < 2**63:
            raise ConfigError(f"seed: got {self.seed!r}, expected a whole number of at most 64 bits.")
        share, shares = self.worker
        if not 0 <= share < shares:
            raise ConfigError(f"worker: got {self.worker!r}, expected (i, n) with 0 <= i < n, such as (0, {shares}).")


class Records:
    """The impressions of one part of a log, as `RecordWriter` wrote them.

    >>> records = Records.open("artifacts/criteo/records/train", index)  # doctest: +SKIP
    >>> for batch in records.dataset(4096, shuffle=True):  # doctest: +SKIP
    ...     batch["ids"], batch["label"]
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @classmethod
    def open(cls, directory: str | os.PathLike[str], index: FeatureIndex | None = None) -> Records:
        """Open a directory of records; with `index`, check that they were made with it.

        Raises:
          ArtifactError: there are no whole records.
          CorruptRecordsError: a shard is missing or truncated.
          IndexMismatchError: the records have another index's fingerprint.
        """
        manifest = Manifest.load(directory)
        if index is not None:
            manifest.check_fingerprint(index.fingerprint)
        return cls(manifest)

    def __repr__(self) -> str:
        return f"Records({str(self.directory)!r}, rows={self.rows:,}, width={self.width})"

    def __len__(self) -> int:
        return self.rows

    @property
    def directory(self) -> Path:
        """Where the shards and their manifest are."""
        return self.manifest.directory

    @property
    def rows(self) -> int:
        """Of all shards."""
        return self.manifest.rows

    @property
    def width(self) -> int:
        """Columns of `ids`."""
        return self.manifest.width

    @property
    def fingerprint(self) -> str:
        """Of the feature index that gave the rows."""
        return self.manifest.fingerprint

    @property
    def label_rate(self) -> float:
        """Mean label, unweighted."""
        return self.manifest.label_rate

    @property
    def has_weight(self) -> bool:
        """Whether batches have the weights of their rows."""
        return self.manifest.has_weight

    @property
    def has_group(self) -> bool:
        """Whether batches have the group of each row, for a grouped AUC."""
        return self.manifest.has_group

    def steps_per_epoch(
        self, batch_size: int, *, drop_remainder: bool = False, worker: tuple[int, int] = (0, 1)
    ) -> int:
        """Return how many batches one epoch of `dataset` has; a batch never crosses from one epoch to the next."""
        rows = int(RunTable.of(self.manifest, worker).rows.sum())
        return rows // batch_size if drop_remainder else -(-rows // batch_size)

    def dataset(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epochs: int | None = 1,
        skip_batches: int = 0,
        drop_remainder: bool = False,
        worker: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Return batches as dicts of tensors; every row comes exactly once an epoch.

        Each epoch ends with a batch of what is left, unless `drop_remainder`. With `shuffle` the order is a function
        of `(seed, epoch)` alone: all runs of 4 blocks are permuted, then the rows within every 4 runs. `skip_batches=k`
        gives what would have come after `k` batches, without reading what came before.

        Args:
          batch_size: rows of a batch.
          shuffle: whether to shuffle anew in each epoch; False gives file order.
          seed: of the shuffle.
          epochs: how often to go through the rows; None for ever.
          skip_batches: batches, counted over all epochs, to leave out at the start.
          drop_remainder: leave out the smaller batch at the end of each epoch.
          worker: `(i, n)`, the i-th of n disjoint shares, which together hold every row.

        Returns:
          A dataset of `{"ids": int32 [b, width], "label": float32 [b, labels], "weight": float32 [b, 1] (if any),
          "group": int64 [b] (if any)}`.

        Raises:
          ConfigError: an option out of range, or no row to read for ever.
          While it is read, tf.errors.DataLossError and the like: read inside `with records.explained():` (or use
          `batches`) to get a `CorruptRecordsError` that names the shard.
        """
        from ctrkit.records.pipeline import batch_dataset  # TensorFlow takes seconds: imported on use.

        return batch_dataset(
            self,
            BatchOptions(
                batch_size=batch_size,
                shuffle=shuffle,
                seed=seed,
                epochs=epochs,
                skip_batches=skip_batches,
                drop_remainder=drop_remainder,
                worker=worker,
            ),
        )

    def leased(
        self,
        batch_size: int,
        leases: Callable[[], Iterator[tuple[int, int]]],
        *,
        seed: int = 0,
        epochs: int = 1,
        prefetch: int = 2,
    ) -> tf.data.Dataset:
        """Return the batches of `dataset(batch_size, shuffle=True, seed=seed, epochs=epochs)` at the leased places.

        For workers that share an epoch as they go: batch k of that dataset, counted from 0 over all epochs, is
        *ticket* k. A ticket beyond the last begins again at the first.

        Args:
          batch_size: rows of a batch.
          leases: called when reading begins, in the process that reads; yields (first ticket, count). It may wait; the
            dataset ends when it does.
          seed: of the shuffle.
          epochs: how many there are to share.
          prefetch: batches that are ready before they are asked for. A lease is asked for when all batches of the one
            before are, so a worker holds at most this many batches more than its lease.

        Returns:
          A dataset of `dataset`'s dicts, with the batch's number as `"ticket"`, int64 [].

        Raises:
          ConfigError: an option out of range, or no row to read.
          While it is read: as `dataset`, and whatever `leases` raises, as an error of TensorFlow.
        """
        from ctrkit.records.leased import leased_dataset  # TensorFlow takes seconds: imported on use.

        return leased_dataset(
            self,
            BatchOptions(batch_size=batch_size, shuffle=True, seed=seed, epochs=epochs),
            leases,
            prefetch=prefetch,
        )

    def for_keras(self, batch_size: int, **options: Any) -> tf.data.Dataset:
        """Return `dataset` as tuples `(ids, label)` or `(ids, label, weight)` for `model.fit`; same options."""
        has_weight = self.has_weight

        def to_tuple(batch: dict[str, Any]) -> tuple[Any, ...]:
            pair = (batch["ids"], batch["label"])
            return (*pair, batch["weight"]) if has_weight else pair

        return self.dataset(batch_size, **options).map(to_tuple)

    def batches(self, batch_size: int, **options: Any) -> Iterator[dict[str, np.ndarray]]:
        """Yield the batches of `dataset` as numpy arrays; a corrupt shard raises `CorruptRecordsError`."""
        with self.explained():
            yield from self.dataset(batch_size, **options).as_numpy_iterator()

    def arrays(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """Read the first `limit` rows (None: all) in file order, without TensorFlow.

        Returns arrays as in `dataset`. Raises `CorruptRecordsError`.
        """
        wanted = self.rows if limit is None else limit
        layout, read = self.manifest.layout, 0
        parts = [layout.empty()]
        for payload in read_blocks(self.manifest):
            if read >= wanted:
                break
            parts.append({name: array[: wanted - read] for name, array in decode(payload, layout).items()})
            read += len(parts[-1]["ids"])
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def explain(self, error: BaseException) -> BaseException:
        """Return a `CorruptRecordsError` naming the shard that made TensorFlow raise `error`, or `error` itself."""
        return explain(self.manifest, error)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raise `CorruptRecordsError` instead of TensorFlow's error when a shard proves corrupt inside the block."""
        try:
            yield
        except Exception as error:
            explained = self.explain(error)
            if explained is error:
                raise
            raise explained from error
