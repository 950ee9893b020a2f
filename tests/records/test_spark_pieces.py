"""What of the engine for a cluster needs no cluster: its plan of shards, its cuts of text, its options and errors."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, ConfigError, LogError
from ctrkit.records import SparkEngine, SparkOptions, Split, WriterOptions, prepare
from ctrkit.records.rejections import BadRows
from ctrkit.records.shuffle import shuffle_keys
from ctrkit.records.spark.cluster import told
from ctrkit.records.spark.failures import explained
from ctrkit.records.spark.session import connected
from ctrkit.records.spark.shard_plan import plan
from ctrkit.records.spark.shares import Share
from ctrkit.records.spark.stored import STOPPED, Storing
from ctrkit.records.spark.text_cuts import _count, _cuts, _Stretch
from tests.records.engine_contract import impressions, schema_of, write_text


@pytest.mark.parametrize("rows", [1, 64, 65, 10_000])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_shard_holds_the_rows_that_sorting_all_keys_would_give_it(rows: int, shuffle: bool) -> None:
    options = WriterOptions(block_rows=16, shard_rows=64, seed=3, shuffle=shuffle)
    found = plan(rows, 5, options)
    keys = shuffle_keys(3, 0, rows) if shuffle else np.arange(rows, dtype=np.uint64)
    expected = np.empty(rows, dtype=np.int64)
    expected[np.argsort(keys)] = 5 + np.arange(rows) // 64
    np.testing.assert_array_equal(found.shard_of(found.keys(0, rows)), expected)
    assert found.shards == -(-rows // 64)
    assert [found.rows_of(k) for k in range(found.shards)] == np.bincount(expected - 5).tolist()


@pytest.mark.parametrize(("size", "at_once"), [(50, 9), (333, 1 << 20), (3000, 100)])
def test_text_is_cut_where_a_row_begins_and_lines_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, at_once: int
) -> None:
    monkeypatch.setattr("ctrkit.records.spark.text_cuts._AT_ONCE", at_once)
    path = write_text(tmp_path / "log.csv", impressions(200))
    data = path.read_bytes()
    stretches = [_Stretch(path, at, min(at + size, len(data))) for at in range(0, len(data), size)]
    cuts = _cuts(stretches, [_count(True, one) for one in stretches])
    rows = {match.end() for match in re.finditer(rb'(?:[^"\n]|"(?:[^"]|"")*")*\n', data)}
    assert len(cuts) > 3
    for cut in cuts:
        assert cut.offset in rows
        assert cut.number == 1 + data[: cut.offset].count(b"\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"master": 7}, r"data\.spark\.master: got 7, expected e\.g\. 'local\[\*\]'"),
        ({"conf": "spark.executor.memory=8g"}, r"data\.spark\.conf: got 'spark.*expected settings such as"),
        ({"conf": {"executor.memory": "8g"}}, r"'executor\.memory' is no setting of Spark; they begin with 'spark\.'"),
        ({"broadcast_values": -1}, r"data\.spark\.broadcast_values: got -1, expected an integer >= 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SparkOptions(**options)


@pytest.mark.parametrize("home", [None, "/nowhere"])
def test_without_java_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    log = write_text(tmp_path / "log.csv", impressions(20))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("JAVA_HOME", home)
    where = "on PATH" if home is None else r"below JAVA_HOME \(/nowhere\)"
    with pytest.raises(ConfigError, match=rf"needs Java 17.*no `java` {where}.*openjdk-17-jre-headless"):
        prepare(schema_of("csv"), log, tmp_path / "work", engine=SparkEngine())
    assert not list((tmp_path / "work").glob(".prepare*"))


def test_without_pyspark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyspark", None)
    with (
        pytest.raises(ConfigError, match=r"needs pyspark, which cannot be imported.*pip install 'ctrkit\[spark\]'"),
        connected(SparkOptions()),
    ):
        pass


def test_an_executor_that_does_not_see_the_work_folder_says_what_has_to_be_shared(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions(20))
    storing = Storing(
        schema=schema_of("csv"), split=Split(), folder=tmp_path / "elsewhere", chunk_bytes=1000, bad_rows=BadRows()
    )
    with pytest.raises(ConfigError, match=r"An executor does not see .*elsewhere.*must share the disk of work_dir"):
        storing(Share(number=0, path=log, leading=True, several=False))


def test_a_share_after_a_bad_one_ends_early_and_one_before_it_does_not(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions(20))
    (tmp_path / "run" / STOPPED).mkdir(parents=True)
    (tmp_path / "run" / STOPPED / "3").touch()
    storing = Storing(
        schema=schema_of("csv"), split=Split(), folder=tmp_path / "run", chunk_bytes=1000, bad_rows=BadRows()
    )
    after, before = (storing(Share(number=n, path=log, leading=True, several=False)) for n in (4, 2))
    assert after is None
    assert before is not None
    assert sum(one.chunk.rows for one in before) == 20


@pytest.mark.parametrize("leading", [True, False])
@pytest.mark.parametrize("name", ["empty.csv", "empty.csv.gz"])
def test_an_empty_file_among_others_is_refused_wherever_it_stands(tmp_path: Path, leading: bool, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    share = Share(number=0, path=tmp_path / name, leading=leading, several=True)
    with pytest.raises(LogError, match=rf"{name} is empty \(0 bytes\)"):
        list(share.pieces(schema_of("csv"), 1000))


def test_an_error_of_an_executor_is_raised_as_what_it_was() -> None:
    said = (
        "An exception was thrown from the Python worker. Please see the stack trace below.\nTraceback (most recent):\n"
        '  File "x.py", line 3, in work\nctrkit.errors.LogError: log.csv, line 7: got 2 values, expected 3\n\tat a.b(c)'
    )
    found = told(RuntimeError(said), "reading")
    assert type(found) is LogError
    assert str(found) == "log.csv, line 7: got 2 values, expected 3"
    other = told(RuntimeError(said.replace("ctrkit.errors.LogError", "ValueError")), "reading")
    assert re.search(r"Spark failed while reading: ValueError: log\.csv.*run the same command again", str(other))
    assert type(told(RuntimeError("ctrkit.errors.ArtifactError: disk is full"), "writing")) is ArtifactError


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("[JAVA_GATEWAY_EXITED] Java gateway process exited", "Spark 4 needs Java 17: `java -version`"),
        ("Job aborted: java.lang.OutOfMemoryError: Java heap space", r"spark\.executor\.memory: 8g"),
        ("[Errno 111] Connection refused", "its driver process .* ended"),
        ("An error occurred while calling x.\n: java.lang.Error: no such master\n\tat y", "no such master"),
    ],
)
def test_what_spark_complains_about_is_told_in_a_sentence(said: str, expected: str) -> None:
    found = explained(RuntimeError(said))
    assert re.search(expected, found)
    assert "\n" not in found
