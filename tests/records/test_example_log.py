"""Row-wise examples of other writers as a log: TensorFlow writes them, TensorFlow's own parser says what is in them."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from ctrkit.errors import LogError
from ctrkit.records import PrepareOptions, Split, WriterOptions, prepare
from ctrkit.records.block import frame
from ctrkit.records.example_log import example_pieces
from ctrkit.records.rejections import Rejections
from ctrkit.schema import Schema

SCHEMA = Schema.from_dict(
    {
        "format": "tfrecord",
        "label": "clicked",
        "weight": "weight",
        "group": "user",
        "features": {
            "user": {"kind": "categorical", "side": "user"},
            "site": {"kind": "categorical"},
            "price": {"kind": "numeric", "log": True},
            "seen": {"kind": "sequence", "of": "site", "max_length": 3},
        },
    }
)
ROWS: list[dict[str, Any]] = [
    {"clicked": [1], "weight": [1.5], "user": [-7], "site": ["a.com"], "price": [0.1], "seen": ["a.com", "", "bü.de"]},
    {"clicked": [0], "weight": [0.0], "user": [2**63 - 1], "site": [], "price": [1e30], "seen": []},
    {"clicked": [0], "weight": [2.0], "user": [-(2**63)], "price": [], "extra": [b"\xff\x00"]},
    {"clicked": [1], "weight": [1.0], "user": [300], "site": [""], "price": [-0.0], "seen": ["x" * 300]},
]


def feature(values: Sequence[Any]) -> tf.train.Feature:
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if values and isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if not values:
        return tf.train.Feature()
    raw = [value.encode() if isinstance(value, str) else value for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=raw))


def serialized(row: dict[str, Any]) -> bytes:
    return tf.train.Example(
        features=tf.train.Features(feature={k: feature(v) for k, v in row.items()})
    ).SerializeToString()


def write(path: Path, payloads: Sequence[bytes], compression: str = "") -> Path:
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for payload in payloads:
            writer.write(payload)
    return path


def columns(path: Path, schema: Schema = SCHEMA, chunk_bytes: int = 1 << 20) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for piece in example_pieces(path, schema, chunk_bytes, leading=True):
        for name, column in piece.parse().columns.items():
            found.setdefault(name, []).extend(column.to_pylist())
    return found


@pytest.mark.parametrize("compression", ["", "GZIP"])
@pytest.mark.parametrize("chunk_bytes", [1 << 20, 64])  # 64: a record is longer than what is read at once.
def test_every_kind_of_list_is_read_as_it_was_written(tmp_path: Path, compression: str, chunk_bytes: int) -> None:
    rows = ROWS if chunk_bytes > 64 else [{**row, "site": row.get("site") or ["s"], "seen": ["t"]} for row in ROWS]
    path = write(tmp_path / "log.tfrecord", [serialized(row) for row in rows], compression)
    found = columns(path, chunk_bytes=chunk_bytes)
    assert found["user"] == [row["user"][0] for row in rows]
    assert found["clicked"] == [1, 0, 0, 1]
    assert found["site"] == [next(iter(row.get("site", [])), None) for row in rows]
    assert found["seen"] == [row.get("seen") or None for row in rows]
    expected = [np.float32(row["price"][0]).item() if row["price"] else None for row in rows]
    assert found["price"] == expected
    assert math.copysign(1, found["price"][3]) == -1


def test_many_random_examples_are_what_tensorflow_parses(tmp_path: Path) -> None:
    rng = np.random.default_rng(seed=0)
    names = ["clicked", "weight", "user", "site", "price", "seen"]
    payloads = []
    for _ in range(500):
        row = {
            "clicked": [int(rng.integers(2))],
            "weight": [float(rng.random())],
            "user": [int(rng.integers(-(2**62), 2**62)) >> int(rng.integers(62))],
            "site": [f"{rng.integers(1 << 40):x}" * int(rng.integers(1, 30))],
            "price": [float(rng.normal())] if rng.random() < 0.7 else [],
            "seen": [str(value) for value in rng.integers(0, 1 << 30, rng.integers(0, 200))],
        }
        order = rng.permutation(names)  # Writers keep no order of names.
        payloads.append(serialized({name: row[name] for name in order if row[name] or rng.random() < 0.5}))
    found = columns(write(tmp_path / "log", payloads), chunk_bytes=100_000)
    parsed = tf.io.parse_example(
        payloads,
        {
            "user": tf.io.FixedLenFeature([], tf.int64),
            "site": tf.io.FixedLenFeature([], tf.string),
            "price": tf.io.FixedLenFeature([], tf.float32, default_value=np.nan),
            "seen": tf.io.RaggedFeature(tf.string),
        },
    )
    assert found["user"] == parsed["user"].numpy().tolist()
    assert [site.encode() for site in found["site"]] == parsed["site"].numpy().tolist()
    np.testing.assert_array_equal(
        np.array([np.nan if price is None else price for price in found["price"]], np.float32), parsed["price"].numpy()
    )
    assert [[s.encode() for s in seen or []] for seen in found["seen"]] == parsed["seen"].to_list()


def entry(name: bytes, value: bytes) -> bytes:
    inner = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(value)]) + value
    return b"\x0a" + bytes([len(inner)]) + inner


def test_examples_in_unusual_but_valid_forms_mean_the_same(tmp_path: Path) -> None:
    schema = Schema.from_dict(
        {
            "label": "y",
            "format": "tfrecord",
            "features": {"a": "categorical", "s": {"kind": "sequence", "of": "a", "max_length": 5}},
        }
    )
    label = entry(b"y", b"\x1a\x03\x0a\x01\x01")
    one_by_one = entry(b"a", b"\x1a\x02\x08\x05") + entry(b"s", b"\x1a\x06\x08\x01\x0a\x02\x02\x03")  # 1, then [2, 3].
    twice = entry(b"a", b"\x1a\x03\x0a\x01\x09") + entry(b"a", b"\x1a\x03\x0a\x01\x07")  # The last one counts.
    in_two = [b"\x0a" + bytes([len(part)]) + part for part in (label, twice)]
    payloads = [
        b"\x0a" + bytes([len(label + one_by_one)]) + label + one_by_one,
        b"".join(in_two),
        b"\x0a" + bytes([len(label + twice)]) + label + twice + b"\x38\x01",  # A field that nobody knows.
    ]
    found = columns(write(tmp_path / "log", payloads), schema)
    assert found == {"y": [1, 1, 1], "a": [5, 7, 7], "s": [[1, 2, 3], None, None]}
    again = [tf.train.Example.FromString(payload).features.feature["a"].int64_list.value[0] for payload in payloads]
    assert found["a"] == again


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({**ROWS[0], "price": ["cheap"]}, r"record 2: feature 'price' is of kind bytes, in rows before of kind float"),
        ({**ROWS[0], "site": ["a", "b"]}, r"record 2: feature 'site' has 2 values, expected one; .*`kind: sequence`"),
        ({**ROWS[0], "site": [b"\xffno"]}, r"record 2: feature 'site' holds b'\\xffno', which is not UTF-8"),
    ],
)
def test_a_feature_that_is_no_column_names_the_record(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    path = write(tmp_path / "log.tfrecord", [serialized(ROWS[0]), serialized(row)])
    with pytest.raises(LogError, match=text):
        columns(path)


def test_bytes_that_are_no_example_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.tfrecord", [serialized(ROWS[0]), b"\x0a\xff\xff\xff\xff\x0f"])
    with pytest.raises(LogError, match=r"record 2: its bytes are no tf\.train\.Example"):
        columns(path)
    for cut in range(1, 60):  # Wherever a length goes beyond the end.
        with pytest.raises(LogError):
            columns(write(path, [serialized(ROWS[0])[:-cut]]))


def test_a_damaged_cut_or_other_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.tfrecord", [serialized(row) for row in ROWS])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(LogError, match=r"is cut short: record 4 has"):
        columns(path)
    flipped = bytearray(whole)
    flipped[40] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(LogError, match=r"record 1: its bytes are not those that were written"):
        columns(path)
    second = 16 + struct.unpack("<Q", whole[:8])[0]
    flipped = bytearray(whole)
    flipped[second] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(LogError, match=r"is damaged at record 2: the checksum of its length differs"):
        columns(path)
    path.write_text("clicked,user\n1,2\n" * 10)
    with pytest.raises(LogError, match=r"is no TFRecord file.*takes csv, tsv, parquet or tfrecord"):
        columns(path)
    path.write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(LogError, match=r"cut short or damaged: decompression stopped"):
        columns(path)


def test_a_feature_that_no_record_has_is_told_the_nearest(tmp_path: Path) -> None:
    rows = [{("sight" if k == "site" else k): v for k, v in row.items()} for row in ROWS]
    with pytest.raises(LogError, match=r"none of the first 4 records has a feature 'site'.*Did you mean 'sight'"):
        columns(write(tmp_path / "log", [serialized(row) for row in rows]))


def test_records_of_ctrkit_are_not_taken_for_a_log(tmp_path: Path) -> None:
    payload = serialized({"rows": [3], "ids": [b"abc"], "label": [b"abc"]})
    (tmp_path / "log.tfrecord").write_bytes(frame(payload))
    with pytest.raises(LogError, match=r"records that ctrkit wrote.*Records\.open"):
        columns(tmp_path / "log.tfrecord")


def test_the_same_rows_give_the_same_index_and_records_as_parquet(tmp_path: Path) -> None:
    rng = np.random.default_rng(seed=1)
    rows = [
        {
            "clicked": [int(rng.integers(2))],
            "weight": [float(np.float32(rng.random()))],
            "user": [int(rng.integers(20))],
            "site": [f"site{rng.integers(9)}"],
            "price": [float(np.float32(rng.normal()))],
            "seen": [f"site{value}" for value in rng.integers(0, 9, rng.integers(0, 5))],
        }
        for _ in range(300)
    ]
    for part in range(3):
        write(
            tmp_path / f"log.tfrecord-{part:05d}-of-00003", [serialized(r) for r in rows[part * 100 : part * 100 + 100]]
        )
    table = pl.DataFrame({name: [row[name] for row in rows] for name in rows[0]})
    table = table.with_columns(pl.exclude("seen").list.first())
    table.write_parquet(tmp_path / "log.parquet")
    parquet = Schema.from_dict({**SCHEMA.to_dict(), "format": "parquet"})
    options = PrepareOptions(threads=1, chunk_bytes=4_000, writer=WriterOptions(block_rows=16, shard_rows=64))
    split = Split(by="order", validation=0.1, test=0.2)
    # The names tell what they are, whatever the schema says.
    ours = prepare(parquet, f"{tmp_path}/log.tfrecord-*", tmp_path / "a", split=split, options=options)
    theirs = prepare(parquet, tmp_path / "log.parquet", tmp_path / "b", split=split, options=options)
    assert ours.fingerprint == theirs.fingerprint
    for part in ("train", "validation", "test"):
        left, right = (getattr(one, part).manifest for one in (ours, theirs))
        assert left.shards == right.shards


@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])  # A record a piece, so that one has no good row; all in one.
def test_bad_records_are_left_out_and_counted(tmp_path: Path, chunk_bytes: int) -> None:
    good = [serialized(row) for row in ROWS[:2]] * 3
    bad = [b"\x0a\xff\xff\xff\xff\x0f", serialized({**ROWS[0], "site": ["a", "b"]}), serialized(ROWS[0])]
    path = write(tmp_path / "log.tfrecord", [*good[:3], *bad, *good[3:]])
    data = bytearray(path.read_bytes())
    data[data.index(bad[2], data.index(bad[1])) + 5] ^= 1  # The third has another checksum then.
    path.write_bytes(data)
    rejected, found = Rejections(), []
    for piece in example_pieces(path, SCHEMA, chunk_bytes, leading=True):
        chunk = piece.parse(rejected)
        found += list(zip(*(column.to_pylist() for column in chunk.columns.values()), strict=True))
    write(path, good)
    assert found == list(zip(*columns(path).values(), strict=True))
    assert rejected.counts == {("no example", ""): 2, ("checksum", ""): 1}
    places = [sample["place"] for samples in rejected.samples.values() for sample in samples]
    assert sorted(places) == [f"{path}:{record}" for record in (4, 5, 6)]
