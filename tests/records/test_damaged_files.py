"""Damaged files, and rows of Parquet: an error of our own that names the file, whatever bad rows are allowed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from ctrkit.errors import LogError
from ctrkit.records.readable import LONGEST_VALUE
from tests.records.damaged_log import HEADER, LINES, as_csv, parquet, run, schema


def not_text() -> pa.Array:
    offsets = np.arange(11, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), 10, [None, pa.py_buffer(offsets), pa.py_buffer(b"abc\xffefghij")])


@pytest.mark.parametrize(
    ("columns", "reason", "column"),
    [
        ({"clicked": pa.array([0, 1, 0, None] + [1] * 6)}, "missing", "clicked"),
        ({"clicked": pa.array([0, 1, 0, 3] + [1] * 6)}, "no label", "clicked"),
        ({"weight": pa.array([1.0, 2.0, 3.0, float("nan"), 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])}, "no weight", "weight"),
        ({"price": pa.array(["1", "1", "1", "one"] + ["1"] * 6)}, "no number", "price"),
        ({"user": pa.array([b"a", b"b", b"c", b"\xff"] + [b"z"] * 6)}, "not UTF-8", "user"),
        ({"user": not_text()}, "not UTF-8", "user"),
        ({"user": pa.array(["a", "b", "c", "x" * (LONGEST_VALUE + 1)] + ["z"] * 6)}, "value too long", "user"),
        ({"seen": pa.array([[b"a"], [b"b"], [], [b"a", b"\xe9"]] + [None] * 6)}, "not UTF-8", "seen"),
    ],
)
def test_bad_rows_of_parquet_are_told_by_row(tmp_path: Path, columns: Any, reason: str, column: str) -> None:
    path = parquet(tmp_path, **columns)
    with pytest.raises(LogError, match=rf"log.parquet, row 4: .*{column!r}(?s:.*)data.bad_rows=skip"):
        run(path, schema("parquet"), skip=False)
    prepared = run(path, schema("parquet"))
    assert prepared.rejected is not None
    assert prepared.rejected.counts == {(reason, column): 1}
    assert prepared.rejected.samples[reason, column][0]["place"] == f"{path}:4"
    assert prepared.train is not None
    assert prepared.train.arrays()["weight"][:, 0].tolist() == [float(i + 1) for i in range(10) if i != 3]


def cut_gzip(folder: Path) -> Path:
    lines = b"".join(as_csv([str(i % 2), f"u{i * 7919 % 10007}", "a", "1", "1", "a"]) for i in range(5000))
    (folder / "log.csv.gz").write_bytes(gzip.compress(HEADER + lines)[:-2000])
    return folder / "log.csv.gz"


def empty_among_others(folder: Path) -> Path:
    (folder / "a.csv").write_bytes(HEADER + LINES[0])
    (folder / "b.csv").write_bytes(b"")
    return folder / "*.csv"


def compressed_nothing_among_others(folder: Path) -> Path:
    (folder / "a.csv.gz").write_bytes(gzip.compress(HEADER + LINES[0]))
    (folder / "b.csv.gz").write_bytes(gzip.compress(b""))
    return folder / "*.csv.gz"


def compressed_nothing_cut_short(folder: Path) -> Path:
    (folder / "a.csv.gz").write_bytes(gzip.compress(HEADER + LINES[0]))
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"")[:12])
    return folder / "*.csv.gz"


def utf16(folder: Path) -> Path:
    (folder / "log.csv").write_bytes((HEADER + b"".join(LINES)).decode().encode("utf-16"))
    return folder / "log.csv"


def utf16_without_a_mark(folder: Path) -> Path:
    (folder / "log.csv").write_bytes((HEADER + b"".join(LINES)).decode().encode("utf-16-le"))
    return folder / "log.csv"


def no_names(folder: Path) -> Path:
    (folder / "log.csv").write_bytes(b"".join(LINES))
    return folder / "log.csv"


def returns_alone(folder: Path) -> Path:
    (folder / "log.csv").write_bytes((HEADER + b"".join(LINES)).replace(b"\n", b"\r"))
    return folder / "log.csv"


def folder_without_files(folder: Path) -> Path:
    (folder / "log.csv").mkdir()
    return folder / "log.csv"


def parquet_without_footer(folder: Path) -> Path:
    path = parquet(folder)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def parquet_with_a_damaged_page(folder: Path) -> Path:
    table = pa.table({"clicked": [0, 1] * 500, "user": [f"u{i}" for i in range(1000)], "ad": ["a"] * 1000,
                      "price": [1.0] * 1000, "weight": [1.0] * 1000, "seen": ["a"] * 1000})  # fmt: skip
    pa.parquet.write_table(table, folder / "log.parquet", write_page_checksum=True, compression="none")
    data = bytearray((folder / "log.parquet").read_bytes())
    data[data.index(b"u500")] ^= 1
    (folder / "log.parquet").write_bytes(data)
    return folder / "log.parquet"


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("make", "kind", "name", "told"),
    [
        (cut_gzip, "csv", "log.csv.gz", "is cut short or damaged: decompression stopped at byte"),
        (empty_among_others, "csv", "b.csv", r"is empty \(0 bytes\), other files of the log are not"),
        (compressed_nothing_among_others, "csv", "b.csv.gz", r"is empty \(0 bytes\), other files of the log are not"),
        (compressed_nothing_cut_short, "csv", "b.csv.gz", "is cut short or damaged: decompression stopped at byte"),
        (utf16, "csv", "log.csv", "is UTF-16 .*iconv -f utf-16 -t utf-8 log.csv"),
        (utf16_without_a_mark, "csv", "log.csv", "is UTF-16"),
        (no_names, "csv", "log.csv", "has no column 'clicked'"),
        (returns_alone, "csv", "log.csv", "has no column|lines end in carriage returns"),
        (folder_without_files, "csv", "log.csv", "holds no files"),
        (parquet_without_footer, "parquet", "log.parquet", "cannot be read as Parquet"),
        (parquet_with_a_damaged_page, "parquet", "log.parquet", "cannot be read as Parquet"),
    ],
)
def test_a_damaged_file_is_an_error_in_both_modes(
    tmp_path: Path, make: Callable[[Path], Path], kind: str, name: str, told: str, skip: bool
) -> None:
    with pytest.raises(Exception, match=rf"{name}\S* .*({told})|({told}).*{name}") as caught:
        run(make(tmp_path), schema(kind), skip=skip)
    assert type(caught.value).__module__ == "ctrkit.errors"
