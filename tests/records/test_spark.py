"""What the engine for a cluster writes is what the local engine writes, byte for byte; its errors are ctrkit's."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from ctrkit.errors import LogError
from ctrkit.records import PrepareOptions, SparkEngine, SparkOptions, Split, WriterOptions, prepare
from ctrkit.records.spark.order_statistics import order_statistics
from ctrkit.records.spark.session import connected
from ctrkit.records.spark.table import table_files
from ctrkit.schema import Schema
from tests.records.engine_contract import FEATURES, contents, impressions, schema_of, write_text
from tests.records.spark_session import InChunks, session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHUFFLED = PrepareOptions(writer=WriterOptions(block_rows=16, shard_rows=64))


@pytest.fixture(scope="module", autouse=True)
def spark() -> Iterator[None]:
    yield from session()


def same(schema: Schema, log: Path, folder: Path, **more: Any) -> dict[str, Any]:
    local = prepare(schema, log, folder / "local", options=SHUFFLED, **more)
    there = prepare(schema, log, folder / "spark", options=SHUFFLED, engine=InChunks(), **more)
    ours, theirs = contents(there.work_dir), contents(local.work_dir)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    return ours


def test_shuffled_records_and_the_index_are_those_of_the_local_engine_to_the_byte(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions())
    found = same(schema_of("csv"), log, tmp_path, split=Split(by="time", validation=0.2, test=0.2))
    assert sum(name.endswith(".tfrecord") for name in found) > 4


@pytest.mark.turn(3)
@pytest.mark.parametrize("by", ["random", "time"])
def test_groups_are_cut_as_the_local_engine_cuts_them_also_by_times_that_are_text(tmp_path: Path, by: str) -> None:
    rows = impressions()
    for place, row in enumerate(rows):
        row["time"] = f"2024-01-{1 + place % 28:02d}"
    log = write_text(tmp_path / "log.csv", rows)
    same(schema_of("csv"), log, tmp_path, split=Split(by=by, validation=0.2, test=0.2, within="user"))  # type: ignore[arg-type]


@pytest.mark.turn(3)
def test_one_file_is_cut_for_many_tasks_but_not_where_a_quote_is_out_of_place(tmp_path: Path) -> None:
    rows = impressions(1200)
    log = write_text(tmp_path / "log.csv", rows)
    text = log.read_text()
    assert '"multi\nline"' in text
    same(schema_of("csv"), log, tmp_path / "whole")
    doubtful = tmp_path / "doubtful.csv"
    cells = text.split("\n")
    place = next(k for k, line in enumerate(cells) if k > 900 and line.endswith(",ignored") and '"' not in line)
    cells[place] = cells[place].replace(",ignored", ',5" wide')
    doubtful.write_text("\n".join(cells))
    skipping = PrepareOptions(writer=SHUFFLED.writer, bad_rows="skip")
    one = prepare(schema_of("csv"), doubtful, tmp_path / "a", options=skipping)
    other = prepare(schema_of("csv"), doubtful, tmp_path / "b", options=skipping, engine=InChunks())
    assert one.rejected is not None
    assert one.rejected.rows == 1
    assert contents(one.work_dir) == contents(other.work_dir)


@pytest.mark.turn(3)
def test_row_groups_of_a_parquet_file_and_folders_of_partitions_are_read_in_their_order(tmp_path: Path) -> None:
    features = {"ad": "categorical", "country": "categorical", "price": {"kind": "numeric", "quantiles": 5}}
    schema = Schema.from_dict({"label": "y", "format": "parquet", "features": features})
    draw = np.random.default_rng(0)
    for country in ("DE", "FR"):
        folder = tmp_path / "table" / f"country={country}"
        folder.mkdir(parents=True)
        columns = {"y": draw.integers(0, 2, 900), "ad": draw.integers(0, 40, 900), "price": draw.random(900)}
        pa.parquet.write_table(pa.table(columns), folder / "part-0.parquet", row_group_size=100)
    same(schema, tmp_path / "table", tmp_path)


@pytest.mark.turn(3)
def test_no_feature_needs_a_vocabulary_or_numbers(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions(100))
    features = {name: FEATURES[name] for name in ("user_hash", "hashed_history")}
    same(schema_of("csv", features=features), log, tmp_path)


def test_rejected_rows_are_counted_over_all_tasks(tmp_path: Path) -> None:
    rows = impressions(600)
    for place in (3, 77, 500, 599):
        rows[place]["clicked"] = "maybe"
    log = write_text(tmp_path / "log.csv", rows)
    options = PrepareOptions(bad_rows="skip", max_bad_share=0.02)
    local = prepare(schema_of("csv"), log, tmp_path / "local", options=options)
    there = prepare(schema_of("csv"), log, tmp_path / "spark", options=options, engine=InChunks())
    assert there.description["rejected"] == local.description["rejected"]
    assert there.description["rejected"]["rows"] == 4
    assert contents(there.work_dir) == contents(local.work_dir)
    fewer = PrepareOptions(bad_rows="skip", max_bad_share=0.001)
    with pytest.raises(LogError, match="4 of 600 rows do not fit"):
        prepare(schema_of("csv"), log, tmp_path / "spark", options=fewer, engine=InChunks(), force=True)


def test_the_first_bad_line_of_the_log_is_told_as_the_local_engine_tells_it(tmp_path: Path) -> None:
    rows = impressions(600)
    rows[450]["clicked"], rows[300]["clicked"], rows[590]["price"] = "2", "7", "cheap"
    log = write_text(tmp_path / "log.csv", rows)
    with pytest.raises(LogError) as local:
        prepare(schema_of("csv"), log, tmp_path / "local")
    with pytest.raises(LogError) as there:
        prepare(schema_of("csv"), log, tmp_path / "spark", engine=InChunks())
    place = re.compile(r"log\.csv, line ([\d,]+): label column 'clicked' holds '7', expected 0 or 1")
    found = [place.search(str(error.value)) for error in (local, there)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].group(1) == found[1].group(1)
    assert "Py4J" not in str(there.value)
    assert not list((tmp_path / "spark").glob(".prepare*"))


@pytest.mark.turn(3)
def test_a_log_without_rows_and_a_part_without_rows_are_told(tmp_path: Path) -> None:
    empty = tmp_path / "log.csv"
    empty.write_text(write_text(tmp_path / "whole.csv", impressions(9)).read_text().splitlines()[0] + "\n")
    with pytest.raises(LogError, match=r"The log is empty: .*log\.csv has no rows after the line of column names"):
        prepare(schema_of("csv"), empty, tmp_path / "work", engine=InChunks())
    with pytest.raises(LogError, match="The test part got no rows"):
        prepare(
            schema_of("csv"), tmp_path / "whole.csv", tmp_path / "work", engine=InChunks(),
            split=Split(by="order", validation=0.3, test=0.01),
        )  # fmt: skip


@pytest.mark.turn(3)
def test_a_place_among_sorted_values_is_found_also_where_one_key_fills_many_partitions() -> None:
    draw = np.random.default_rng(0)
    keys = np.where(draw.random(20_000) < 0.8, 7, draw.integers(0, 40, 20_000))
    values = draw.integers(0, 3_000, 20_000) / 8
    expected = {}
    for key in np.unique(keys).tolist():
        ordered = np.sort(values[keys == key])
        for place, at in enumerate((0, len(ordered) // 2, len(ordered) - 1)):
            expected[key, place] = ordered[at]

    def counted(place: int, part: tuple[np.ndarray, np.ndarray]) -> Iterator[pa.RecordBatch]:
        ones = pa.array(np.ones(len(part[0]), dtype=np.int64))
        yield pa.record_batch([pa.array(part[0]), pa.array(part[1]), ones], names=["key", "value", "count"])

    def places(found: np.ndarray, totals: np.ndarray) -> np.ndarray:
        return np.stack([np.zeros_like(totals), totals // 2, totals - 1], axis=1)

    with connected(SparkOptions()) as cluster:
        parts = list(zip(np.array_split(keys, 5), np.array_split(values, 5), strict=True))
        frame = cluster.frame(parts, counted, "key long, value double, count long")
        cluster.session.conf.set("spark.sql.shuffle.partitions", "6")
        try:
            with order_statistics(cluster, "sorting", frame, places, rows=60_000) as found:
                rows = cluster.rows("sorting", found)
        finally:
            cluster.session.conf.set("spark.sql.shuffle.partitions", "2")
    assert {(key, place): value for key, place, value in rows} == expected
    assert len(rows) == len(expected)


@pytest.mark.turn(3)
def test_a_table_of_the_catalogue_is_its_own_files_or_is_unloaded(tmp_path: Path) -> None:
    with connected(SparkOptions()) as cluster:
        rows = [(k % 2, f"ad{k % 7}", ("DE", "C/D", "a b")[k % 3]) for k in range(300)]
        frame = cluster.session.createDataFrame(rows, "y int, ad string, country string")
        where = f"{tmp_path}/clicks folder"
        frame.write.partitionBy("country").format("parquet").option("path", where).saveAsTable("clicks")
        cluster.session.sql("CREATE TEMPORARY VIEW seen AS SELECT y, ad, country FROM clicks WHERE ad <> 'ad0'")
        try:
            columns = ("y", "ad", "country")
            own = table_files(SparkOptions(), "default.clicks", columns, tmp_path / "x", anew=False)
            view = table_files(SparkOptions(), "seen", columns, tmp_path / "unloaded", anew=False)
            with pytest.raises(LogError, match=r"No table default.click in Spark's catalogue.*Did you mean 'clicks'"):
                table_files(SparkOptions(), "default.click", columns, tmp_path / "y", anew=False)
            with pytest.raises(LogError, match=r"Table clicks has no column 'contry'. Did you mean 'country'"):
                table_files(SparkOptions(), "clicks", ("contry",), tmp_path / "y", anew=False)
        finally:
            cluster.session.sql("DROP TABLE clicks")
    assert [path.parent.name for path in own] == sorted(path.parent.name for path in own)
    assert {path.parents[1].name for path in own} == {"clicks folder"}
    features = {"ad": "categorical", "country": "categorical"}
    schema = Schema.from_dict({"label": "y", "format": "parquet", "features": features})
    prepared = prepare(schema, own, tmp_path / "work", engine=SparkEngine())
    assert set(prepared.index.vocabularies["country"]) == {"DE", "C/D", "a b"}
    assert sum(prepare(schema, view, tmp_path / "other").rows.values()) == sum(ad != "ad0" for _, ad, _ in rows)


@pytest.mark.turn(3)
def test_nothing_is_left_of_a_run(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions(100))
    prepare(schema_of("csv"), log, tmp_path / "work", engine=InChunks())
    found = subprocess.run(["find", tmp_path / "work", "-maxdepth", "1"], capture_output=True, text=True, check=True)
    assert sorted(Path(line).name for line in found.stdout.split()) == ["index", "prepared.json", "records", "work"]
