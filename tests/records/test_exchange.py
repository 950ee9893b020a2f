"""Records to named examples and back: not a bit differs, and TensorFlow and tensorflow-datasets read both forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow_datasets as tfds

import ctrkit.records
from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError, LogError
from ctrkit.indexing import FeatureIndex
from ctrkit.records import (
    Manifest,
    Prepared,
    PrepareOptions,
    Records,
    WriterOptions,
    decode_block,
    describe_records,
    export_records,
    import_records,
    prepare,
)
from ctrkit.records.row_wise import encode_rows, read_row_wise
from ctrkit.records.tfds_metadata import Described
from ctrkit.schema import Schema

NAME = Described(name="ads", description="Ads.", homepage="https://example.com", citation="@misc{x}", licence="CC0")
SIZES = WriterOptions(block_rows=64, shard_rows=256)
FEATURES = {
    "user": {"kind": "categorical", "side": "user"},
    "site": {"kind": "categorical"},
    "seen": {"kind": "sequence", "of": "site", "max_length": 4},
}


def log(folder: Path, rows: int = 1_000) -> Path:
    rng = np.random.default_rng(seed=0)
    seen = [[f"s{v}" for v in rng.integers(0, 300, rng.integers(0, 6))] for _ in range(rows)]
    frame = {
        "y": rng.integers(0, 2, rows),
        "w": rng.random(rows).astype(np.float32),
        "user": [f"{value:x}" for value in rng.integers(0, 900, rows)],
        "site": [f"s{value}" for value in rng.integers(0, 300, rows)],
        "seen": seen,
    }
    pl.DataFrame(frame).write_parquet(folder / "log.parquet")
    return folder / "log.parquet"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("exchange")
    # A group that is text becomes a hash of 64 bits, negative for every other user.
    schema = Schema.from_dict({"format": "parquet", "label": "y", "weight": "w", "group": "user", "features": FEATURES})
    return prepare(schema, log(folder), folder / "work", options=PrepareOptions(threads=1, writer=SIZES))


def manifests(prepared: Prepared) -> dict[str, Manifest]:
    found = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    return {part: records.manifest for part, records in found.items() if records is not None}


@pytest.fixture(scope="module")
def exported(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "rows"
    assert export_records(manifests(prepared), prepared.index, folder, NAME, shard_rows=300) == 1_000
    return folder


def test_there_and_back_every_shard_has_the_same_bytes(prepared: Prepared, exported: Path, tmp_path: Path) -> None:
    options = WriterOptions(shuffle=False, block_rows=64, shard_rows=256)
    back = import_records(exported, prepared.index, tmp_path / "back", options=options)
    assert {part: m.shards for part, m in back.items()} == {p: m.shards for p, m in manifests(prepared).items()}
    assert back["train"].label_sums == manifests(prepared)["train"].label_sums
    Records.open(tmp_path / "back" / "train", prepared.index).manifest.verify_checksums()


def test_tensorflow_reads_the_rows_that_were_exported(prepared: Prepared, exported: Path) -> None:
    assert prepared.train is not None
    lengths = {field.name: field.length for field in prepared.index.fields}
    paths = sorted((exported / "train").iterdir())
    assert len(paths) == 3
    batches = list(read_row_wise(paths, lengths, 128, has_weight=True, has_group=True))
    for name, expected in prepared.train.arrays().items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), expected)
    assert (prepared.train.arrays()["group"] < 0).any()


def test_tensorflow_datasets_loads_the_rows_by_name(prepared: Prepared, exported: Path) -> None:
    builder = tfds.builder_from_directory(exported)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == prepared.rows
    assert (builder.info.description, builder.info.homepage) == ("Ads.", "https://example.com")
    assert builder.info.redistribution_info.license == "CC0"
    assert prepared.test is not None
    arrays = prepared.test.arrays()
    for number, row in enumerate(builder.as_dataset("test", shuffle_files=False).take(50)):
        ids = np.concatenate([row["user"].numpy()[None], row["site"].numpy()[None], row["seen"].numpy()])
        np.testing.assert_array_equal(ids, arrays["ids"][number])
        assert row["label"].numpy() == arrays["label"][number, 0]
        assert row["weight"].numpy() == arrays["weight"][number, 0]
        assert row["group"].numpy() == arrays["group"][number]


def test_tensorflow_datasets_loads_the_blocks_where_they_lie(prepared: Prepared) -> None:
    folder = prepared.work_dir / "records"
    describe_records(folder, NAME)
    Prepared.open(prepared.work_dir)  # What lies beside the parts does not matter.
    builder = tfds.builder_from_directory(folder)
    for part, manifest in manifests(prepared).items():
        blocks = builder.as_dataset(part, shuffle_files=False).map(decode_block)
        expected = Records(manifest).arrays()
        found = list(blocks)
        assert builder.info.splits[part].num_examples == len(found)
        assert set(found[0]) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(np.concatenate([block[name] for block in found]), array)
    assert builder.info.metadata["fingerprint"] == prepared.fingerprint


def test_there_is_nothing_to_describe_without_records(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"No records at .*ctrkit prepare"):
        describe_records(tmp_path, NAME)


def test_export_keeps_out_of_a_folder_of_other_things(prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(ArtifactError, match=r"holds other things.*out=FOLDER"):
        export_records(manifests(prepared), prepared.index, tmp_path, NAME)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def other_index(prepared: Prepared) -> FeatureIndex:
    features = {**FEATURES, "seen": {"kind": "sequence", "of": "site", "max_length": 3}}
    schema = Schema.from_dict({**prepared.schema.to_dict(), "features": features})
    return FeatureIndex(schema, prepared.index.vocabularies, prepared.index.boundaries)


def test_another_index_is_refused(prepared: Prepared, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexMismatchError, match=r"was made with index .*its rows mean other values"):
        import_records(exported, other_index(prepared), tmp_path / "back")
    (exported / "metadata.json").rename(tmp_path / "metadata.json")
    try:
        with pytest.raises(LogError, match=r"record 1: feature 'seen' has 4 values, expected 3"):
            import_records(exported, other_index(prepared), tmp_path / "back")
    finally:
        (tmp_path / "metadata.json").rename(exported / "metadata.json")
    assert not (tmp_path / "back" / "train").exists()
    with pytest.raises(IndexMismatchError, match="records again"):
        export_records(manifests(prepared), other_index(prepared), tmp_path / "out", NAME)


def test_a_folder_without_metadata_says_what_writes_it(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no dataset_info\.json.*ctrkit records export"):
        import_records(tmp_path, prepared.index, tmp_path / "back")


def test_a_feature_with_the_name_of_the_weight_is_refused(tmp_path: Path) -> None:
    ids, ones = np.zeros((2, 1), dtype=np.int32), np.ones(2)
    with pytest.raises(ConfigError, match=r"'weight' has the name of the weight's own feature"):
        ctrkit.records.row_wise.write_row_wise(tmp_path / "rows", {"weight": 1}, ids, ones, ones)
    ctrkit.records.row_wise.write_row_wise(tmp_path / "rows", {"weight": 1}, ids, ones)


def test_rows_of_any_integers_have_one_length_and_read_back(tmp_path: Path) -> None:
    values = np.array([[0, -1], [127, 2**63 - 1], [128, -(2**63)]])
    framed = encode_rows({"a": values, "b": np.float32([[1.5], [-0.0], [np.inf]])})
    path = tmp_path / "rows"
    path.write_bytes(framed.tobytes())
    import tensorflow as tf

    records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    assert [list(one.features.feature["a"].int64_list.value) for one in records] == values.tolist()
    assert [one.features.feature["b"].float_list.value[0] for one in records] == [1.5, -0.0, np.inf]
    assert len({len(record) for record in framed}) == 1
