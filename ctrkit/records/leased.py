"""Read batches by ticket: exactly those that a worker was leased, each as one machine alone would read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.records.pipeline import Epochs

if TYPE_CHECKING:
    from ctrkit.records.reader import BatchOptions, Records

Leases = Callable[[], Iterator[tuple[int, int]]]  # Yields (first ticket, count).


def leased_dataset(records: Records, options: BatchOptions, leases: Leases, *, prefetch: int) -> tf.data.Dataset:
    """Build the dataset that `Records.leased` describes; raises as it does."""
    if isinstance(prefetch, bool) or not isinstance(prefetch, (int, np.integer)) or prefetch < 0:
        raise ConfigError(f"prefetch: got {prefetch!r}, expected a whole number of batches, at least 0.")
    if options.epochs is None:
        raise ConfigError("epochs: got None, expected a number: tickets are counted over all epochs.")
    per_epoch = records.steps_per_epoch(options.batch_size)
    if per_epoch == 0:
        raise ConfigError(f"{records.directory} has no rows, so there is no batch to lease. Prepare the log again.")
    epochs = Epochs(records, options)

    def parts() -> Iterator[tuple[int, int, int, int]]:
        for first, count in leases():
            yield from _parts(first, count, per_epoch, options.epochs or 1)

    @tf.autograph.experimental.do_not_convert
    def batches(ticket: tf.Tensor, epoch: tf.Tensor, batch: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
        rows = options.batch_size
        read = epochs.batches(epoch, batch * rows, (batch + count) * rows).take(count)
        numbered = tf.data.Dataset.zip((read, tf.data.Dataset.range(ticket, ticket + count)))
        return numbered.map(lambda arrays, number: {**arrays, "ticket": number})

    number = tf.TensorSpec([], tf.int64)
    dataset = tf.data.Dataset.from_generator(parts, output_signature=(number,) * 4).flat_map(batches)
    settings = tf.data.Options()
    settings.deterministic = True
    settings.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # Leases shard.
    return dataset.with_options(settings).prefetch(prefetch)


def _parts(first: int, count: int, per_epoch: int, epochs: int) -> Iterator[tuple[int, int, int, int]]:
    """Cut a lease at the ends of epochs: (first ticket, epoch, batch within it, count)."""
    while count > 0:
        epoch, batch = divmod(first % (per_epoch * epochs), per_epoch)
        here = min(count, per_epoch - batch)
        yield first, epoch, batch, here
        first, count = first + here, count - here
