"""The verbs about data sets: what a person reads, and what tensorflow-datasets loads afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ctrkit.commands import datasets_build, datasets_info, datasets_list, records_export
from ctrkit.commands.configuration import load_config
from ctrkit.commands.prepare import prepare_log, schema_of
from ctrkit.datasets import provenance
from ctrkit.datasets.catalogue import CATALOGUE, Archive, entry_of
from ctrkit.errors import ArtifactError, ConfigError, SchemaError
from ctrkit.records import Prepared, decode_block
from tests.datasets import published


def test_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    datasets_list.run([])
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in CATALOGUE)
    with pytest.raises(ConfigError, match="takes no words, got 'all'"):
        datasets_list.run(["all"])


def test_info_tells_licence_citation_archives_and_which_files_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published.movielens_20m(tmp_path)
    (tmp_path / "movies.csv").unlink()
    datasets_info.run(["movielens_20m", f"data.manual_dir={tmp_path}"])
    out = capsys.readouterr().out
    assert "no redistribution" in out
    assert "doi = {10.1145/2827872}" in out
    assert "SHA-256 96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3" in out
    assert f"file ratings.csv (there: {(tmp_path / 'ratings.csv').stat().st_size:,} bytes)" in out
    assert "file movies.csv (ABSENT)" in out
    assert f"next: ctrkit datasets build movielens_20m data.manual_dir={tmp_path}" in out


def test_info_without_a_name_or_with_another_word_says_what_to_type() -> None:
    with pytest.raises(ConfigError, match=r"Which data set\? Type: ctrkit datasets info NAME\. Valid: 'adult'"):
        datasets_info.run([])
    with pytest.raises(ConfigError, match=r"takes no 'data\.manualdir=x'.*Did you mean 'data\.manual_dir'"):
        datasets_info.run(["mind", "data.manualdir=x"])


def test_build_makes_records_that_tensorflow_datasets_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published.adult(tmp_path)
    words = ["adult", f"data.manual_dir={tmp_path}", f"work_dir={tmp_path / 'work'}", "layout=rows"]
    datasets_build.run(words)
    out = capsys.readouterr().out
    assert out.count("(recorded)") == 2
    assert "licence: CC BY 4.0" in out
    prepared = Prepared.open(tmp_path / "work")
    assert prepared.test is not None
    expected = prepared.test.arrays()
    blocks = tfds.builder_from_directory(tmp_path / "work" / "records")
    assert "Kohavi" in blocks.info.citation
    (block,) = list(blocks.as_dataset("test").map(decode_block))
    np.testing.assert_array_equal(block["ids"], expected["ids"])
    rows = tfds.builder_from_directory(tmp_path / "work" / "rows")
    ages = [int(row["age"]) for row in rows.as_dataset("test", shuffle_files=False)]
    assert ages == expected["ids"][:, prepared.index["age"].start].tolist()
    # Again nothing is to be done; a file that changed is told.
    datasets_build.run(words[:3])
    assert capsys.readouterr().out.count("(as before)") == 2
    published.adult(tmp_path, rows=70)
    datasets_build.run(words[:3])
    assert capsys.readouterr().out.count("(NOT the file of the last build)") == 2


def test_build_refuses_a_name_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"No data set 'criteoo' in the catalogue\. Did you mean 'criteo'"):
        datasets_build.run(["criteoo"])


def test_an_archive_that_is_not_the_published_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of("movielens_100k")
    assert provenance.check_archives(entry, tmp_path) == []
    (tmp_path / "ml-100k.zip").write_bytes(b"cut")
    with pytest.raises(
        ArtifactError, match=r"is not the published file.*\(3 bytes, expected 4,924,029\).*https://files"
    ):
        provenance.check_archives(entry, tmp_path)
    right = Archive(name="ml-100k.zip", sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    (tmp_path / "ml-100k.zip").write_bytes(b"abc")
    object.__setattr__(entry_copy := type(entry)(**{**vars(entry), "archives": (right,)}), "name", "copy")
    assert provenance.check_archives(entry_copy, tmp_path) == ["ml-100k.zip"]


def test_export_writes_the_named_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published.frappe(tmp_path)
    where = ["schema=frappe", "data=frappe", f"work_dir={tmp_path / 'work'}"]
    prepared = prepare_log(load_config([*where, f"data.manual_dir={tmp_path}"]))
    records_export.run([*where, "part=train", f"out={tmp_path / 'rows'}", "name=Frappe apps"])
    assert f"{prepared.rows['train']:,} rows" in capsys.readouterr().out
    builder = tfds.builder_from_directory(tmp_path / "rows")
    assert builder.name == "frappe_apps"
    assert list(builder.info.splits) == ["train"]
    with pytest.raises(ConfigError, match=r"part=trian: unknown value\. Did you mean 'train'"):
        records_export.run([*where, "part=trian"])
    with pytest.raises(ConfigError, match=r"Cannot read 'rows'. Type: ctrkit records export"):
        records_export.run(["rows"])


def test_the_format_of_the_log_can_be_told_beside_the_schema() -> None:
    config = load_config(["schema=criteo", "data=files", "data.path=log", "data.format=tfrecord"])
    changed = schema_of(config).format
    assert (changed.kind, changed.columns, changed.separator) == ("tfrecord", None, None)
    assert schema_of(load_config(["schema=criteo"])).format.kind == "tsv"
    kept = schema_of(load_config(["schema=criteo", "data=files", "data.path=log", "data.format=csv"])).format
    assert kept.separator == ","
    assert kept.columns is not None
    with pytest.raises(SchemaError, match=r"Unknown log format 'tfrecords'\. Did you mean 'tfrecord'"):
        schema_of(load_config(["data=files", "data.path=log", "data.format=tfrecords"]))
