"""Log rows to TFRecord shards to `tf.data` batches. Names are loaded on first use: writing needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "Manifest",
    "PrepareOptions",
    "Prepared",
    "RecordWriter",
    "Records",
    "Shard",
    "Split",
    "WriterOptions",
    "prepare",
]

if TYPE_CHECKING:
    from ctrkit.records.manifest import Manifest, Shard
    from ctrkit.records.prepare import Prepared, PrepareOptions, prepare
    from ctrkit.records.reader import Records
    from ctrkit.records.split import Split
    from ctrkit.records.writer import RecordWriter, WriterOptions
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "manifest": ["Manifest", "Shard"],
            "prepare": ["Prepared", "PrepareOptions", "prepare"],
            "reader": ["Records"],
            "split": ["Split"],
            "writer": ["RecordWriter", "WriterOptions"],
        },
    )
