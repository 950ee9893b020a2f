"""Logs in folders: Parquet as Hive partitions it, and data sets of tensorflow-datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ctrkit.errors import LogError
from ctrkit.records import Split, prepare
from ctrkit.records.hive import NO_VALUE
from ctrkit.records.log import log_files, read_head, read_pieces
from ctrkit.schema import Schema

TABLE = {
    "label": "y",
    "time": "day",
    "format": "parquet",
    "features": {"ad": "categorical", "country": "categorical", "day": {"kind": "numeric", "log": True}},
}


def part(folder: Path, rows: dict[str, list[Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pa.table(rows), folder / "part-0.parquet")
    (folder / "_SUCCESS").touch()


def test_hive_folders_are_columns_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for day in (9, 10):
        for country in ("DE", "C%2FD", NO_VALUE):
            part(tmp_path / f"day={day}" / f"country={country}", {"y": [0, 1], "ad": ["a", country]})
    schema = Schema.from_dict(TABLE)
    rows = [row for file in log_files(tmp_path) for row in read_head(schema, file, 9)]
    assert [row["day"] for row in rows] == ["9"] * 6 + ["10"] * 6
    assert [row["country"] for row in rows[::2]] == ["C/D", "DE", None] * 2
    assert [row["ad"] for row in rows[1::2]] == ["C%2FD", "DE", NO_VALUE] * 2


def test_a_hive_table_is_prepared_like_one_file_with_the_same_columns(tmp_path: Path) -> None:
    whole: list[pl.DataFrame] = []
    for day in range(8, 12):
        for country in ("DE", "FR"):
            rows = {"y": [0, 1, 1], "ad": ["a", "b", country.lower()]}
            part(tmp_path / "table" / f"day={day}" / f"country={country}", rows)
            whole.append(pl.DataFrame(rows).with_columns(day=pl.lit(day), country=pl.lit(country)))
    pl.concat(whole).write_parquet(tmp_path / "one.parquet")
    schema, split = Schema.from_dict(TABLE), Split(by="time", validation=0.25, test=0.25)
    hive = prepare(schema, tmp_path / "table", tmp_path / "a", split=split)
    one = prepare(schema, tmp_path / "one.parquet", tmp_path / "b", split=split)
    assert hive.fingerprint == one.fingerprint
    assert hive.train is not None
    assert one.train is not None
    assert hive.train.manifest.shards == one.train.manifest.shards


def test_the_files_own_column_comes_before_the_folders(tmp_path: Path) -> None:
    part(tmp_path / "country=DE", {"y": [1], "ad": ["a"], "country": ["FR"], "day": [3]})
    (file,) = log_files(tmp_path)
    assert read_head(Schema.from_dict(TABLE), file, 1)[0]["country"] == "FR"


def data_set(folder: Path) -> Path:
    folder.mkdir()
    number = 0
    for split, shards in (("train", 2), ("test", 1)):
        for shard in range(shards):
            name = f"ads-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(folder / name)) as writer:
                for _ in range(3):
                    number += 1
                    features = {
                        "user/id": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
                        "kind": tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 2])),
                        "words": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"] * (number % 3))),
                        "price": tf.train.Feature(float_list=tf.train.FloatList(value=[number / 4])),
                    }
                    writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=tfds.features.FeaturesDict(
            {
                "user": {"id": tf.int64},
                "kind": tfds.features.ClassLabel(names=["view", "click"]),
                "words": tfds.features.Sequence(tfds.features.Text()),
                "price": tf.float32,
            }
        ),
        split_infos=[
            tfds.core.SplitInfo(name="train", shard_lengths=[3, 3], num_bytes=0),
            tfds.core.SplitInfo(name="test", shard_lengths=[3], num_bytes=0),
        ],
    )
    return folder


def test_a_tfds_data_set_is_read_as_tensorflow_datasets_reads_it(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "ads")
    schema = Schema.from_dict(
        {
            "label": "kind",
            "features": {
                "user": {"kind": "categorical", "column": "user/id"},
                "price": {"kind": "numeric", "log": True},
                "word": {"kind": "categorical", "column": "user/id"},
                "words": {"kind": "sequence", "of": "word", "max_length": 4},
            },
        }
    )
    files = log_files(folder)
    assert [file.name.split(".")[0] for file in files] == ["ads-train"] * 2 + ["ads-test"]
    chunks = [piece.parse() for piece in read_pieces(files, schema, chunk_bytes=1 << 20)]
    ours = {name: [v for chunk in chunks for v in chunk.columns[name].to_pylist()] for name in schema.columns}
    builder = tfds.builder_from_directory(folder)
    theirs = list(builder.as_dataset("train", shuffle_files=False)) + list(builder.as_dataset("test"))
    assert ours["user/id"] == [int(row["user"]["id"]) for row in theirs] == list(range(1, 10))
    assert ours["kind"] == [int(row["kind"]) for row in theirs]
    assert ours["price"] == [float(row["price"]) for row in theirs]
    assert [words or [] for words in ours["words"]] == [[w.decode() for w in row["words"].numpy()] for row in theirs]


def test_a_tfds_data_set_of_another_format_or_without_a_file_is_refused(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "ads")
    (folder / "ads-test.tfrecord-00000-of-00001").unlink()
    with pytest.raises(LogError, match=r"ads-test\.tfrecord-00000-of-00001 is missing, but .* lists it"):
        log_files(folder)
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": "array_record"}))
    with pytest.raises(LogError, match=r"'array_record', which ctrkit does not read.*tfds convert_format"):
        log_files(folder)
