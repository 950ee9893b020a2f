"""A second `prepare` does nothing when nothing changed, and a prepared folder that is not whole is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctrkit.errors import ArtifactError, CorruptRecordsError, IndexMismatchError
from ctrkit.records import Prepared, PrepareOptions, Split, WriterOptions, prepare
from ctrkit.schema import Schema
from tests.records.engine_contract import impressions, schema_of, write_text


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_text(tmp_path / "log.csv", impressions(150))


def when(prepared: Prepared) -> int:
    return (prepared.work_dir / "prepared.json").stat().st_mtime_ns  # Changes when it is written anew.


def test_same_inputs_are_up_to_date(log: Path, tmp_path: Path) -> None:
    first = prepare(schema_of("csv"), log, tmp_path / "work")
    assert when(prepare(schema_of("csv"), [log], tmp_path / "work", options=PrepareOptions(threads=1))) == when(first)


@pytest.mark.parametrize(
    "changed",
    [
        {"force": True},
        {"split": Split(by="order")},
        {"options": PrepareOptions(writer=WriterOptions(seed=1))},
    ],
)
def test_other_inputs_are_prepared_anew(log: Path, tmp_path: Path, changed: dict) -> None:
    before = when(prepare(schema_of("csv"), log, tmp_path / "work"))
    assert when(prepare(schema_of("csv"), log, tmp_path / "work", **changed)) != before


def test_changed_log_and_changed_schema_are_prepared_anew(log: Path, tmp_path: Path) -> None:
    first = prepare(schema_of("csv"), log, tmp_path / "work")
    write_text(log, impressions(160))
    second = prepare(schema_of("csv"), log, tmp_path / "work")
    assert sum(first.rows.values()) == 150
    assert sum(second.rows.values()) == 160
    third = prepare(schema_of("csv", label="weight >= 0.5"), log, tmp_path / "work")
    assert third.fingerprint == second.fingerprint
    assert third.description["parts"]["train"]["label_rate"] != second.description["parts"]["train"]["label_rate"]


def test_prepared_tells_what_was_made(log: Path, tmp_path: Path) -> None:
    prepared = prepare(schema_of("csv"), log, tmp_path / "work", split=Split(by="order", validation=0, test=0.2))
    assert prepared.rows == {"train": 120, "test": 30}
    assert prepared.validation is None
    assert prepared.test is not None
    assert prepared.test.rows == 30
    assert prepared.schema == schema_of("csv")
    assert prepared.index.statistics["train_rows"] == 120
    assert "train 120, test 30 rows" in repr(prepared)
    clicks = [row["clicked"] == "1" for row in impressions(150)]
    assert prepared.description["parts"]["train"]["label_rate"] == pytest.approx(sum(clicks[:120]) / 120)


def test_folder_without_anything_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has nothing prepared: no prepared.json. Run `ctrkit prepare` again"):
        Prepared.open(tmp_path)


def test_half_written_and_mixed_folders_are_refused(log: Path, tmp_path: Path) -> None:
    work = prepare(schema_of("csv"), log, tmp_path / "work").work_dir
    other = prepare(schema_of("csv"), log, tmp_path / "other", split=Split(by="order")).work_dir
    description = (work / "prepared.json").read_text()
    (work / "prepared.json").write_text(description[:100])
    with pytest.raises(ArtifactError, match=r"Cannot read .*prepared.json"):
        Prepared.open(work)
    (work / "prepared.json").write_text(json.dumps({**json.loads(description), "format_version": 99}))
    with pytest.raises(ArtifactError, match="format version 99, this ctrkit reads 1"):
        Prepared.open(work)
    (work / "prepared.json").unlink()
    with pytest.raises(ArtifactError, match=r"was not finished: there is no prepared.json"):
        Prepared.open(work)
    (work / "prepared.json").write_text(description)
    shutil.rmtree(work / "records" / "test")
    shutil.copytree(other / "records" / "test", work / "records" / "test")
    with pytest.raises(IndexMismatchError, match=r"Records .*test have \d+ rows of index .*expected \d+ of"):
        Prepared.open(work)
    shutil.rmtree(work / "index")
    shutil.copytree(other / "index", work / "index")
    with pytest.raises(ArtifactError, match="the two are not from one run"):
        Prepared.open(work)


def test_truncated_shard_is_refused_and_mended_by_the_next_run(log: Path, tmp_path: Path) -> None:
    work = prepare(schema_of("csv"), log, tmp_path / "work").work_dir
    shard = next((work / "records" / "train").glob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(CorruptRecordsError, match=shard.name):
        Prepared.open(work)
    assert prepare(schema_of("csv"), log, work).rows["train"] > 0


def test_preparing_does_not_import_tensorflow(log: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ctrkit.records import prepare; from ctrkit.schema import Schema;"
        "prepare(Schema.from_dict({'format': 'csv', 'label': 'clicked', 'features': {'ad': 'categorical'}}),"
        f"{str(log)!r}, {str(tmp_path / 'work')!r}); print('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_a_second_prepare_of_the_same_folder_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    schema = Schema.from_dict({"format": {"kind": "csv"}, "label": "y", "features": {"a": {"kind": "categorical"}}})
    log.write_text("y,a\n" + "0,x\n1,y\n" * 50, encoding="utf-8")
    script = (
        "import sys, time, pathlib; from ctrkit.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]) / 'prepare.lock', ValueError):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    work = tmp_path / "work"
    with subprocess.Popen([sys.executable, "-c", script, str(work)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError, match=rf"Another process \({other.pid}\) is preparing .*work. Wait for it"):
            prepare(schema, log, work)
        other.kill()
    assert prepare(schema, log, work).rows["train"] > 0
