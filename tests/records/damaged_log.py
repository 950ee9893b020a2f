"""A log of sixty good rows, lines that are not, and how the tests of damaged logs read them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ctrkit.records import Prepared, PrepareOptions, Split, WriterOptions, prepare
from ctrkit.schema import Schema

COLUMNS = ["clicked", "user", "ad", "price", "weight", "seen"]
ROWS = 60


def schema(kind: str = "csv", **changes: Any) -> Schema:
    features = {
        "user": {"kind": "categorical"},
        "ad": {"kind": "categorical"},
        "price": {"kind": "numeric", "boundaries": [10, 20, 40]},
        "seen": {"kind": "sequence", "of": "ad", "max_length": 3},
    }
    raw = {"format": {"kind": kind}, "label": "clicked", "weight": "weight", "features": features}
    return Schema.from_dict({**raw, **changes})


def good_row(i: int) -> list[str]:
    """The weight marks the row."""
    text = "two\nlines" if i % 9 == 4 else 'a "quote", a comma' if i % 9 == 7 else f"u{i % 7}"
    return [str(i % 2), text, f"ä{i % 5}", str(i), str(i + 1), f"ä{i % 3}|ä{i % 4}"]


def as_csv(row: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue().encode()


HEADER, LINES = as_csv(COLUMNS), [as_csv(good_row(i)) for i in range(ROWS)]


def plain(i: int, **changed: bytes) -> bytes:
    """A line of row `i` without quoting, some values changed."""
    row = dict(zip(COLUMNS, [value.encode() for value in good_row(9 * i)], strict=True))
    return b",".join({**row, "weight": b"999", **changed}.values()) + b"\n"


def options(skip: bool, **more: Any) -> PrepareOptions:
    return PrepareOptions(bad_rows="skip" if skip else "fail", max_bad_share=0.5, threads=1, **more)


def run(path: Path, read_as: Schema | None = None, *, skip: bool = True, name: str = "work", **more: Any) -> Prepared:
    split = Split(by="order", validation=0, test=0)
    given = options(skip, writer=WriterOptions(shuffle=False), **more)
    return prepare(schema() if read_as is None else read_as, path, path.parent / name, split=split, options=given)


def table(prepared: Prepared) -> Counter[tuple[Any, ...]]:
    """The multiset of rows: ids, label and weight."""
    assert prepared.train is not None
    found = prepared.train.arrays()
    return Counter(
        (*ids, float(label), float(weight))
        for ids, label, weight in zip(
            found["ids"].tolist(), found["label"][:, 0], found["weight"][:, 0], strict=True
        )
    )  # fmt: skip


def parquet(folder: Path, **columns: Any) -> Path:
    rows = {
        "clicked": [0, 1] * 5, "user": [f"u{i}" for i in range(10)], "ad": ["a"] * 10, "price": [1.0] * 10,
        "weight": [float(i + 1) for i in range(10)], "seen": [["a"]] * 10,
    }  # fmt: skip
    pa.parquet.write_table(pa.table({**rows, **columns}), folder / "log.parquet")
    return folder / "log.parquet"
