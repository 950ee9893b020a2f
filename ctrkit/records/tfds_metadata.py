"""Describe TFRecord files so that `tfds.builder_from_directory` loads them, and turn what it loads into rows."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrkit.errors import ArtifactError
from ctrkit.records.manifest import Manifest
from ctrkit.records.split import PARTS

if TYPE_CHECKING:
    import tensorflow as tf

VERSION = "1.0.0"
SHARDS = "{SPLIT}/shard-{SHARD_X_OF_Y}.{FILEFORMAT}"  # The names that the writers of records give.
_NAME_OF_ROWS = "rows"


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a data set is, in words."""

    name: str  # Lower case, digits and underscores.
    description: str = ""
    homepage: str | None = None
    citation: str | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class SplitShards:
    """The files of a split."""

    lengths: Sequence[int]  # Examples (TFRecord records) of each file.
    bytes: int


def name_of(text: str) -> str:
    """A name as tensorflow-datasets takes it.

    >>> name_of("My shop, 2024")
    'my_shop_2024'
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"log_{name}".rstrip("_")


def describe_records(folder: str | os.PathLike[str], described: Described) -> None:
    """Write tensorflow-datasets' metadata into a folder of records, beside the parts `train`, `validation`, `test`.

    An example is a block of rows: the number `rows`, and `ids`, `label`, `weight` and `group` as bytes, which
    `decode_block` turns into tensors. No record is copied. Raises `ArtifactError` where there are no records.
    """
    folder = Path(folder)
    manifests = {part: Manifest.load(folder / part) for part in PARTS if (folder / part).is_dir()}
    if not manifests:
        raise ArtifactError(f"No records at {folder}. Write them with `ctrkit prepare`.")
    some = next(iter(manifests.values()))
    splits = {
        part: SplitShards(
            lengths=[-(-shard.rows // manifest.block_rows) for shard in manifest.shards], bytes=manifest.bytes
        )
        for part, manifest in manifests.items()
    }
    features: dict[str, Any] = {_NAME_OF_ROWS: ("int64", 1)}
    features |= {column.name: ("string", 1) for column in some.layout.columns}
    metadata = {
        "format": "ctrkit records: blocks of rows; decode with ctrkit.records.decode_block",
        "width": some.width,
        "fingerprint": some.fingerprint,
    }
    write_metadata(folder, described, features, splits, metadata)


def write_metadata(
    folder: Path,
    described: Described,
    features: Mapping[str, tuple[str, int]],
    splits: Mapping[str, SplitShards],
    metadata: Mapping[str, Any],
) -> None:
    """Write dataset_info.json, features.json and metadata.json for the files `SHARDS` below `folder`.

    `features` have a type (int64, float32 or string) and a number of values: one makes a scalar.
    """
    import tensorflow_datasets as tfds  # Takes seconds.

    types = {"int64": np.int64, "float32": np.float32, "string": np.object_}
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=described.name, version=tfds.core.Version(VERSION), data_dir=str(folder), module_name=""
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=described.description,
        features=tfds.features.FeaturesDict(
            {
                name: tfds.features.Tensor(shape=() if length == 1 else (length,), dtype=types[kind])
                for name, (kind, length) in features.items()
            }
        ),
        homepage=described.homepage,
        citation=described.citation,
        license=described.licence,
        metadata=tfds.core.MetadataDict(metadata),
        disable_shuffling=True,
    )
    info.set_file_format(tfds.core.FileFormat.TFRECORD)
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, template=SHARDS, dataset_name=described.name, filetype_suffix="tfrecord"
    )
    info.set_splits(
        tfds.core.splits.SplitDict(
            [
                tfds.core.SplitInfo(
                    name=name,
                    shard_lengths=list(split.lengths),
                    num_bytes=split.bytes,
                    filename_template=template.replace(split=name),
                )
                for name, split in splits.items()
            ]
        )
    )
    info.write_to_directory(folder)


def decode_block(example: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turn an example of a data set of blocks into its rows, for `Dataset.map`.

    >>> builder = tfds.builder_from_directory("artifacts/criteo/records")  # doctest: +SKIP
    >>> rows = builder.as_dataset("train").map(ctrkit.records.decode_block).unbatch()  # doctest: +SKIP

    Returns `{"ids": int32 [rows, width], "label": float32 [rows, labels]}`, and `"weight"`, float32 `[rows, 1]`, and
    `"group"`, int64 `[rows]`, where there are any.
    """
    import tensorflow as tf

    types = {"ids": tf.int32, "label": tf.float32, "weight": tf.float32, "group": tf.int64}
    decoded = {}
    for name, dtype in types.items():
        if name in example:
            flat = tf.io.decode_raw(example[name], dtype)
            decoded[name] = flat if name == "group" else tf.reshape(flat, [example[_NAME_OF_ROWS], -1])
    return decoded
