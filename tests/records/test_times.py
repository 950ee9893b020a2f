"""The first and the last time of each part, whatever way the log writes times and the split cuts it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctrkit.records import PrepareOptions, Split, prepare
from ctrkit.schema import Schema

ROWS = 400
START = datetime.datetime(2026, 1, 1)


def write(path: Path, times: Any) -> Path:
    columns = {"clicked": [row % 3 == 0 for row in range(ROWS)], "ad": [f"a{row % 7}" for row in range(ROWS)]}
    pq.write_table(pa.table({**columns, "when": times}), path, row_group_size=60)
    return path


def spans(log: Path, tmp_path: Path, split: Split) -> dict[str, Any]:
    schema = {"format": "parquet", "label": "clicked", "time": "when", "features": {"ad": {"kind": "categorical"}}}
    options = PrepareOptions(chunk_bytes=2000)  # Several chunks.
    prepared = prepare(Schema.from_dict(schema), log, tmp_path / "work", split=split, options=options)
    return {part: facts.get("time") for part, facts in prepared.description["parts"].items()}


@pytest.mark.parametrize("by", ["time", "order"])
def test_numbers_stay_the_numbers_of_the_log(tmp_path: Path, by: str) -> None:
    log = write(tmp_path / "log.parquet", list(range(1000, 1000 + ROWS)))
    assert spans(log, tmp_path, Split(by=by, validation=0.1, test=0.2)) == {  # type: ignore[arg-type]
        "train": [1000, 1279],
        "validation": [1280, 1319],
        "test": [1320, 1399],
    }


@pytest.mark.parametrize("by", ["time", "order"])
@pytest.mark.parametrize("unit", ["s", "us", "ns", "text", "date"])
def test_timestamps_and_text_are_told_as_dates(tmp_path: Path, by: str, unit: str) -> None:
    days = [START + datetime.timedelta(days=row) for row in range(ROWS)]
    if unit == "text":
        times = pa.array([str(day) for day in days])
    elif unit == "date":
        times = pa.array([day.date() for day in days])
    else:
        times = pa.array(days, pa.timestamp(unit))
    found = spans(write(tmp_path / "log.parquet", times), tmp_path, Split(by=by, validation=0, test=0.5))  # type: ignore[arg-type]
    told = [str(days[row]) if unit == "text" else days[row].date().isoformat() for row in (0, 199, 200, 399)]
    if unit not in ("text", "date"):
        told = [f"{day}T00:00:00" for day in told]
    assert found == {"train": told[:2], "test": told[2:]}


def test_a_random_split_has_the_span_of_its_rows_and_a_missing_time_leaves_them_unknown(tmp_path: Path) -> None:
    log = write(tmp_path / "log.parquet", [float(row) + 0.5 for row in range(ROWS)])
    found = spans(log, tmp_path, Split(by="random"))
    for first, last in found.values():
        assert 0.5 <= first < last <= 399.5
    assert min(span[0] for span in found.values()) == 0.5
    assert max(span[1] for span in found.values()) == 399.5
    log = write(tmp_path / "log.parquet", [None, *map(float, range(ROWS - 1))])
    assert None in spans(log, tmp_path, Split(by="random")).values()


def test_no_time_in_the_schema_is_no_span(tmp_path: Path) -> None:
    schema = {"format": "parquet", "label": "clicked", "features": {"ad": {"kind": "categorical"}}}
    prepared = prepare(Schema.from_dict(schema), write(tmp_path / "log.parquet", list(range(ROWS))), tmp_path / "work")
    assert not any("time" in facts for facts in prepared.description["parts"].values())
