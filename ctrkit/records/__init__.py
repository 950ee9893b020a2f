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
    "SparkEngine",
    "SparkOptions",
    "Split",
    "WriterOptions",
    "decode_block",
    "describe_records",
    "export_records",
    "import_records",
    "prepare",
]

if TYPE_CHECKING:
    from ctrkit.records.exchange import export_records, import_records
    from ctrkit.records.manifest import Manifest, Shard
    from ctrkit.records.prepare import Prepared, PrepareOptions, prepare
    from ctrkit.records.reader import Records
    from ctrkit.records.spark.engine import SparkEngine
    from ctrkit.records.spark.options import SparkOptions
    from ctrkit.records.split import Split
    from ctrkit.records.tfds_metadata import decode_block, describe_records
    from ctrkit.records.writer import RecordWriter, WriterOptions
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "exchange": ["export_records", "import_records"],
            "manifest": ["Manifest", "Shard"],
            "prepare": ["Prepared", "PrepareOptions", "prepare"],
            "reader": ["Records"],
            "spark.engine": ["SparkEngine"],
            "spark.options": ["SparkOptions"],
            "split": ["Split"],
            "tfds_metadata": ["decode_block", "describe_records"],
            "writer": ["RecordWriter", "WriterOptions"],
        },
    )
