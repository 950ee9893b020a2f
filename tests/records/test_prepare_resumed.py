"""`prepare`, killed and run again, goes on where it was: less is read, and the output is that of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from ctrkit.checksum import directory_checksum
from ctrkit.records import PrepareOptions, Split, prepare
from ctrkit.records.local import LocalEngine
from tests.records.engine_contract import contents, impressions, schema_of, write_text

CHUNK_BYTES = 800

# For each case, kills a fork of `prepare` when it opens or renames a file of a given name; then runs it again.
DRIVER = """
import json, os, shutil, signal, sys
from pathlib import Path
import ctrkit.records.prepare
from ctrkit.records import Prepared, PrepareOptions, Split, prepare
from ctrkit.records.local import LocalEngine
from tests.records.engine_contract import contents, schema_of
from tests.records.forks import in_a_fork

cases, chunk_bytes = json.loads(sys.argv[1]), int(sys.argv[2])

def run(case, kill_at=None, split=None):
    def hook(event, arguments):
        if kill_at is None or event not in ("open", "os.rename"):
            return
        names = [Path(str(one)).name for one in arguments[:2] if isinstance(one, (str, os.PathLike))]
        if names and (names[0] == kill_at or kill_at[0] == "." and names[0].startswith(kill_at)):
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    engine = LocalEngine()
    size = case.get("chunk_bytes", chunk_bytes)
    options = PrepareOptions(threads=2, chunk_bytes=size, bad_rows="skip", max_bad_share=0.5)
    found = prepare(schema_of(case["kind"]), case["log"], case["work"], split=split, options=options, engine=engine)
    same = contents(found.work_dir) == contents(Path(case["undisturbed"]))
    return {"before": engine.pieces_read_before, "now": engine.pieces_read, "same": same}

def left(case):
    return sorted(str(path.relative_to(case["work"])) for path in Path(case["work"]).rglob("*incomplete*"))

told = []
for case in cases:
    _, killed = in_a_fork(lambda: run(case, case["kill_at"]))
    there = left(case)
    if case.get("damage"):
        chunk = next(Path(case["work"]).rglob(case["damage"]))
        data = bytearray(chunk.read_bytes())
        data[len(data) // 3] ^= 1
        chunk.write_bytes(data)
    if case.get("again_at"):
        in_a_fork(lambda: run(case, case["again_at"]))
    if case.get("other"):
        other, _ = in_a_fork(lambda: run(case, split=Split(by="order")))
        told.append({"killed": killed, "there": there, "left": left(case), **other})
        continue
    again, _ = in_a_fork(lambda: run({**case, **case.get("then", {})}))
    told.append({"killed": killed, "there": there, "left": left(case), **again})
print(json.dumps(told))
"""


def logs(folder: Path) -> dict[str, tuple[str, str]]:
    """Kind and sources of a log of many forms: two files of text with bad rows, one compressed, a Parquet file."""
    rows = impressions(200)
    for part, some in enumerate((rows[:110], rows[110:])):
        path = write_text(folder / f"part-{part}.csv", some)
        path.write_bytes(path.read_bytes() + b'1,"never closed\n')
    write_text(folder / "log.csv.gz", rows)
    typed: list[dict[str, Any]] = [{**row, "weight": float(row["weight"])} for row in rows]
    pa.parquet.write_table(pa.Table.from_pylist(typed), folder / "log.parquet", row_group_size=70)
    return {
        "text": ("csv", str(folder / "part-*.csv")),
        "gzip": ("csv", str(folder / "log.csv.gz")),
        "parquet": ("parquet", str(folder / "log.parquet")),
    }


MOMENTS: dict[str, dict[str, Any]] = {
    "in the second file": {"kill_at": "chunk-14"},
    "with pieces of another size": {"kill_at": "chunk-9", "then": {"chunk_bytes": 4_000}},
    "twice": {"kill_at": "chunk-5", "again_at": "chunk-12"},
    "with a damaged piece": {"kill_at": "chunk-9", "damage": "chunk-3"},
    "indexing": {"kill_at": "rows-history"},
    "writing": {"kill_at": "shard-00000"},
    "index in its place, records not": {"kill_at": "records"},
    "all in place": {"kill_at": ".prepared.json"},
    "compressed": {"kill_at": "chunk-8", "form": "gzip"},
    "parquet": {"kill_at": "chunk-8", "form": "parquet", "chunk_bytes": 256 * 9},
    "another split": {"kill_at": "chunk-9", "other": True},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("resumed")
    cases, made = [], logs(folder)
    for form, (kind, log) in made.items():
        options = PrepareOptions(threads=2, bad_rows="skip", max_bad_share=0.5)
        prepare(schema_of(kind), log, folder / f"undisturbed-{form}", options=options)
    for number, moment in enumerate(MOMENTS.values()):
        form = moment.get("form", "text")
        case = {"kind": made[form][0], "log": made[form][1], "work": str(folder / f"work-{number}")}
        cases.append({**case, **moment, "undisturbed": str(folder / f"undisturbed-{form}")})
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(cases), str(CHUNK_BYTES)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CTRKIT_QUIET": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    return dict(zip(MOMENTS, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != "another split"])
def test_the_output_is_that_of_an_undisturbed_run(told: dict[str, dict[str, Any]], moment: str) -> None:
    found = told[moment]
    assert found["killed"]
    assert found["there"]  # The kill left something to take over.
    assert found["same"]
    assert found["left"] == []


@pytest.mark.parametrize("moment", ["indexing", "writing"])
def test_a_log_that_was_read_is_not_read_again(told: dict[str, dict[str, Any]], moment: str) -> None:
    assert told[moment]["before"] > 15
    assert told[moment]["now"] == 0


def test_more_read_before_means_less_read_now(told: dict[str, dict[str, Any]]) -> None:
    later, twice, resized = (told[m] for m in ("in the second file", "twice", "with pieces of another size"))
    total = told["indexing"]["before"]
    for one in (later, twice):  # A piece that begins anew may be a row shorter, so there may be one more.
        assert total - 1 <= one["before"] + one["now"] <= total + 2
    assert later["before"] >= 12
    assert twice["before"] >= 10  # More than the first of the two kills left.
    assert resized["before"] >= 7
    assert resized["now"] < total - resized["before"]  # Larger pieces after the first.
    for moment in ("compressed", "parquet"):
        assert 5 <= told[moment]["before"] <= 8
        assert told[moment]["now"] > 5


def test_a_piece_whose_bytes_changed_is_read_again_with_all_after_it(told: dict[str, dict[str, Any]]) -> None:
    assert told["with a damaged piece"]["before"] == 3


def test_what_was_finished_is_only_put_in_place(told: dict[str, dict[str, Any]]) -> None:
    for moment in ("index in its place, records not", "all in place"):
        assert (told[moment]["before"], told[moment]["now"]) == (0, 0)  # The engine did not run.


def test_other_inputs_take_nothing_over(told: dict[str, dict[str, Any]]) -> None:
    other = told["another split"]
    assert other["before"] == 0
    assert other["now"] > 15
    assert other["left"] == []


def test_features_that_were_indexed_are_not_indexed_again(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions(200))
    found = []
    for _ in range(2):
        engine = LocalEngine()
        engine.run(
            schema_of("csv"), [log], tmp_path / "work", split=Split(), options=PrepareOptions(threads=1), index=None
        )  # fmt: skip
        files = (tmp_path / "work" / "spill").iterdir()
        times = {path.name: path.stat().st_mtime_ns for path in files if path.name.startswith(("rows-", "cross-"))}
        found.append((times, directory_checksum(tmp_path / "work" / "index")))
    assert len(found[0][0]) >= 10
    assert found[0] == found[1]
    assert engine.pieces_read == 0


def test_a_resuming_run_says_so(tmp_path: Path) -> None:
    log = write_text(tmp_path / "log.csv", impressions(100))
    script = (
        "import os, signal, sys; from ctrkit.records import PrepareOptions, prepare\n"
        "from tests.records.engine_contract import schema_of\n"
        "if len(sys.argv) > 3:\n"
        "    stop = lambda event, a: event == 'open' and str(a[0]).endswith(sys.argv[3]) and os.kill(os.getpid(), 9)\n"
        "    sys.addaudithook(stop)\n"
        "prepare(schema_of('csv'), sys.argv[1], sys.argv[2], options=PrepareOptions(chunk_bytes=800, threads=1))\n"
    )
    command = [sys.executable, "-c", script, str(log), str(tmp_path / "work")]
    environment = {key: value for key, value in os.environ.items() if key != "CTRKIT_QUIET"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    killed = subprocess.run([*command, "chunk-3"], capture_output=True, text=True, env=environment, check=False)
    assert killed.returncode == -9
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "reading: resuming: 3 pieces (" in again.stderr
    undisturbed = prepare(schema_of("csv"), log, tmp_path / "undisturbed")
    assert contents(tmp_path / "work") == contents(undisturbed.work_dir)
