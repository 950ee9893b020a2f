"""Turn records into a `tf.data` pipeline whose order is a pure function of seed and epoch.

An epoch is a list of runs of blocks, permuted when shuffling; each *window* of some runs is read, decoded and shuffled
as one, then cut into batches. Since the place and size of every run are known beforehand, resuming starts at the right
window and reads nothing before it.

Tensors are compared by `tf.equal`: `==` compares identities in the version 1 graphs of the Estimator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.records.corruption import FEWER_ROWS
from ctrkit.records.layout import RowLayout
from ctrkit.records.runs import BLOCKS_A_RUN, RunTable

if TYPE_CHECKING:
    from ctrkit.records.reader import BatchOptions, Records

WINDOW = 4  # Runs shuffled together: 16 blocks or 16,384 rows, some megabytes, stays near the cache.
PARALLEL_WINDOWS = 2  # Decoded at once; one keeps a core busy at more rows/s than a model can train on.
_FOR_EVER = np.iinfo(np.int64).max


def batch_dataset(records: Records, options: BatchOptions) -> tf.data.Dataset:
    """Build the dataset that `Records.dataset` describes; raises as it does."""
    per_epoch = records.steps_per_epoch(
        options.batch_size, drop_remainder=options.drop_remainder, worker=options.worker
    )
    if per_epoch == 0 and options.epochs is None:
        raise ConfigError(
            f"batch_size: got {options.batch_size:,}, but {records.directory} gives worker {options.worker} not one "
            "such batch, so reading for ever would hang. Take a smaller batch_size or drop_remainder=False."
        )
    first_epoch, first_batch = divmod(options.skip_batches, max(per_epoch, 1))
    epochs = Epochs(records, options)
    last_epoch = _FOR_EVER if options.epochs is None else max(options.epochs, first_epoch)

    @tf.autograph.experimental.do_not_convert
    def batches(epoch: tf.Tensor) -> tf.data.Dataset:
        skip_rows = tf.constant(first_batch * options.batch_size, tf.int64)
        return epochs.batches(epoch, tf.where(tf.equal(epoch, first_epoch), skip_rows, 0))

    dataset = tf.data.Dataset.range(first_epoch, last_epoch).flat_map(batches)
    total = (
        tf.data.INFINITE_CARDINALITY
        if options.epochs is None
        else max(0, per_epoch * options.epochs - options.skip_batches)
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(total))
    settings = tf.data.Options()
    settings.deterministic = True
    settings.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # `worker` shards.
    return dataset.with_options(settings).prefetch(4)


class Epochs:
    """The graph of one epoch, with the number of the epoch as a tensor."""

    def __init__(self, records: Records, options: BatchOptions) -> None:
        manifest = records.manifest
        self._options = options
        self._layout: RowLayout = manifest.layout
        self._paths = np.array([str(manifest.path(shard)) for shard in manifest.shards] or [""])
        self._table = RunTable.of(manifest, options.worker)
        self._runs = len(self._table.rows)
        self._windows = -(-self._runs // WINDOW)

    def batches(self, epoch: tf.Tensor, skip_rows: tf.Tensor, stop_rows: tf.Tensor | None = None) -> tf.data.Dataset:
        """Batches of one epoch, less its first `skip_rows` rows.

        With `stop_rows`, windows that begin at that row or after are not read: whoever takes no batch from there on
        need not decode them.
        """
        seed = tf.stack([tf.constant(self._options.seed, tf.int64), epoch])
        order = tf.range(self._runs)
        if self._options.shuffle:
            order = tf.random.experimental.stateless_shuffle(order, tf.random.experimental.stateless_fold_in(seed, 0))
        rows = tf.gather(tf.constant(self._table.rows), order)
        before = tf.cumsum(tf.concat([[0], rows], axis=0))[::WINDOW]  # Rows before each window.
        first = tf.searchsorted(before, skip_rows[tf.newaxis], side="right", out_type=tf.int64)[0] - 1

        def window(number: tf.Tensor) -> tf.data.Dataset:
            start = tf.cast(number, tf.int32) * WINDOW
            mine = slice(start, start + WINDOW)
            expected = tf.reduce_sum(rows[mine])
            skip = tf.where(tf.equal(number, first), skip_rows - before[first], 0)
            own_seed = tf.random.experimental.stateless_fold_in(seed, 1 + number)
            return self._serialized(order[mine]).map(lambda blocks: self._decoded(blocks, expected, own_seed, skip))

        windows: int | tf.Tensor = self._windows
        if stop_rows is not None:
            windows = tf.searchsorted(before, stop_rows[tf.newaxis], out_type=tf.int64)[0]
        numbers = tf.data.Dataset.range(first, windows)
        decoded = numbers.interleave(
            window, cycle_length=PARALLEL_WINDOWS, num_parallel_calls=PARALLEL_WINDOWS, deterministic=True
        )
        return decoded.rebatch(self._options.batch_size, drop_remainder=self._options.drop_remainder)

    def _serialized(self, runs: tf.Tensor) -> tf.data.Dataset:
        """One element: the serialized blocks of these runs, `string [k]`."""

        def read(run: tf.Tensor) -> tf.data.Dataset:
            shard, offset, blocks = (
                tf.gather(tf.constant(column), run)
                for column in (self._table.shard, self._table.offset, self._table.blocks)
            )
            opened = tf.raw_ops.TFRecordDatasetV2(
                filenames=tf.gather(tf.constant(self._paths), shard)[tf.newaxis],
                compression_type="",
                buffer_size=tf.constant(0, tf.int64),  # Two reads a block, each of the right size.
                byte_offsets=offset[tf.newaxis],
            )
            return tf.data.experimental.from_variant(opened, tf.TensorSpec([], tf.string)).take(blocks)

        return tf.data.Dataset.from_tensor_slices(runs).flat_map(read).batch(WINDOW * BLOCKS_A_RUN)

    def _decoded(
        self, blocks: tf.Tensor, expected: tf.Tensor, seed: tf.Tensor, skip: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The rows of some serialized blocks, in their final order."""
        names = [column.name for column in self._layout.columns]
        parsed = tf.io.parse_example(blocks, {name: tf.io.FixedLenFeature([], tf.string) for name in names})
        arrays = {}
        for column in self._layout.columns:
            dtype = tf.dtypes.as_dtype(np.dtype(column.dtype))
            flat = tf.io.decode_raw(tf.strings.reduce_join(parsed[column.name]), dtype)
            arrays[column.name] = tf.reshape(flat, self._layout.shape(column))
        count = tf.shape(arrays["ids"], tf.int64)[0]
        with tf.control_dependencies([tf.debugging.assert_equal(count, expected, FEWER_ROWS)]):
            kept = tf.range(count)
        if self._options.shuffle:
            kept = tf.random.experimental.stateless_shuffle(kept, seed)
            return {name: tf.gather(array, kept[skip:]) for name, array in arrays.items()}
        with tf.control_dependencies([kept]):
            return {name: array[skip:] for name, array in arrays.items()}
