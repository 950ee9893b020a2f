"""Columns of short values hold what the general parser finds in them."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from ctrkit.records import short_values
from ctrkit.records.short_values import short_columns

NAMES = ["a", "b", "c"]


def cut(text: bytes, missing: list[str] | None = None, wanted: list[str] | None = None) -> dict[str, list[str | None]]:
    columns = short_columns(
        memoryview(text), NAMES, wanted or NAMES, separator="\t", missing=[""] if missing is None else missing
    )
    return {name: column.to_pylist() for name, column in columns.items()}


def parsed(text: bytes) -> dict[str, list[str | None]]:
    table = pyarrow.csv.read_csv(
        io.BytesIO(text),
        pyarrow.csv.ReadOptions(column_names=NAMES),
        pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(NAMES, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    return table.to_pydict()


@pytest.mark.parametrize("at_once", [1, 50, 1 << 19])  # Bytes: less than a line, some lines, all.
def test_short_values_are_those_of_the_general_parser(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(short_values, "_CUT_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    pool = ["", "0", "-1", "12345678", "1234567", "é", "日本", " 7 ", "a'b", "🙂🙂", "\x01", '"', "z" * 8]
    lines = ["\t".join(rng.choice(pool, size=3)) for _ in range(200)]
    text = "".join(f"{line}\n" for line in lines).encode()
    assert cut(text) == parsed(text)


def test_a_column_with_a_value_of_nine_bytes_is_left_to_the_general_parser() -> None:
    assert cut(b"1\t123456789\t2\n3\t4\t\n") == {"a": ["1", "3"], "c": ["2", None]}


def test_only_the_columns_that_are_wanted_come_out() -> None:
    assert cut(b"1\t2\t3\n", wanted=["c", "a"]) == {"c": ["3"], "a": ["1"]}


def test_a_spelling_of_missing_is_null_and_an_empty_value_need_not_be() -> None:
    assert cut(b"-1\tNA\t\n", missing=["-1", "NA", "far too long"]) == {"a": [None], "b": [None], "c": [""]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"1\t2\t3",  # No end of the last line.
        b"1\t2\t3\r\n",
        b"1\t2\t3\n\n1\t2\t3\n",
        b"1\t2\n3\t1\t2\t3\n",  # As many separators as two whole lines have.
        b"1\t2\t3\t4\n",
        b"1\t2\0\t3\n",  # A byte 0 would be taken for padding.
        b"1\t\xff\t3\n",
    ],
)
def test_text_that_is_not_plain_is_left_to_the_general_parser(text: bytes) -> None:
    assert cut(text) == {}
