"""Damaged rows of text: an error that says where, or with `bad_rows=skip` exactly the rows that are not damaged."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import LogError
from ctrkit.records import Prepared, Split, prepare
from ctrkit.records.log import read_pieces
from ctrkit.records.readable import LONGEST_VALUE
from ctrkit.records.rejections import Rejections
from tests.records.damaged_log import COLUMNS, HEADER, LINES, ROWS, as_csv, options, plain, run, schema, table


@dataclass(frozen=True)
class Damage:
    bad: bytes  # Put between good lines.
    told: str  # In the error.
    reason: str
    column: str | None = None
    rows: int = 1  # That are rejected.


TOO_LONG = f"expected at most {LONGEST_VALUE:,}"
DAMAGES = {
    "short row": Damage(b"1,u1,a\n", "got 3 values, expected 6: '1,u1,a'", "number of values"),
    "long row": Damage(plain(1)[:-1] + b",7,8\n", "got 8 values, expected 6", "number of values"),
    "one separator too many": Damage(plain(1, user=b"u,1"), "got 7 values, expected 6", "number of values"),
    "another separator": Damage(b"1\tu1\ta\t3\t999\ta\n", "got 1 values, expected 6", "number of values"),
    "two rows in one line": Damage(plain(1)[:-1] + plain(2), "got 11 values, expected 6", "number of values"),
    "a line of blanks": Damage(b"   \n", "got 1 values, expected 6", "number of values"),
    "half a multi-byte letter": Damage(plain(1, ad=b"\xc3"), "byte 0xc3 is not UTF-8", "not UTF-8", "ad"),
    "another encoding": Damage(plain(1, user="é".encode("latin1")), "byte 0xe9 is not UTF-8", "not UTF-8", "user"),
    "quote never closed": Damage(plain(1, user=b'"u1'), "a quote inside a value, or one that is never", "quoting"),
    "quote inside a value": Damage(plain(1, user=b'5" pipe'), "a quote inside a value", "quoting"),
    "text after a quote": Damage(plain(1, user=b'"u"1'), "a quote inside a value", "quoting"),
    "quote before a separator": Damage(plain(1, seen=b'a"'), "a quote inside a value", "quoting"),
    "a byte 0": Damage(plain(1, user=b"u\x001"), "holds a byte 0", "a byte 0"),
    "a block of zeros": Damage(b"\0" * 4096 + b"\n", "holds a byte 0", "a byte 0"),
    "a carriage return": Damage(plain(1, user=b"u\r1"), "a carriage return before its end", "carriage return"),
    "line ends of two systems": Damage(plain(1)[:-1] + b"\r" + plain(2), "carriage return", "carriage return"),
    "text in a number column": Damage(plain(1, price=b"cheap"), "column 'price' holds 'cheap'", "no number", "price"),
    "a formula's error": Damage(plain(1, price=b"#REF!"), "column 'price' holds '#REF!'", "no number", "price"),
    "a label outside its domain": Damage(plain(1, clicked=b"2"), "'clicked' holds '2'", "no label", "clicked"),
    "a label that is text": Damage(plain(1, clicked=b"yes"), "'clicked' holds 'yes'", "no label", "clicked"),
    "no label": Damage(plain(1, clicked=b""), "label column 'clicked' is missing", "missing", "clicked"),
    "the line of names again": Damage(HEADER, "label column 'clicked' holds 'clicked'", "no label", "clicked"),
    "a negative weight": Damage(plain(1, weight=b"-1"), "weight column 'weight' holds -1.0", "no weight", "weight"),
    "an infinite weight": Damage(plain(1, weight=b"inf"), "weight column 'weight' holds inf", "no weight", "weight"),
    "text for a weight": Damage(plain(1, weight=b"x"), "column 'weight' holds 'x'", "no number", "weight"),
    "columns in another order": Damage(b"u1,1,a,5,999,a\n", "label column 'clicked' holds 'u1'", "no label", "clicked"),
    "a field of 10 MB": Damage(plain(1, user=b"x" * 10_000_000), TOO_LONG, "value too long", "user"),
    "a long list": Damage(plain(1, seen=b"ab|" * 500_000), TOO_LONG, "value too long", "seen"),
}  # fmt: skip
PLACE = 23  # Good lines before the bad one; some of them have line ends in quotes.


def line_number() -> int:
    return 2 + sum(line.count(b"\n") for line in LINES[:PLACE])


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """What the good rows give."""
    folder = tmp_path_factory.mktemp("clean")
    (folder / "log.csv").write_bytes(HEADER + b"".join(LINES))
    return run(folder / "log.csv", skip=False)


def rows_by_python(text: str) -> set[float]:
    """The weights of the rows that Python's reader finds sound, by the schema's rules written out."""
    found = set()
    for row in list(csv.reader(io.StringIO(text, newline="")))[1:]:
        if len(row) == 6 and row[0] in ("0", "1") and row[3].isdigit() and row[4].isdigit():
            found.add(float(row[4]))
    return found


def test_the_good_rows_are_those_of_pythons_reader(clean: Prepared) -> None:
    assert clean.train is not None
    weights = set(clean.train.arrays()["weight"][:, 0].tolist())
    assert weights == rows_by_python((HEADER + b"".join(LINES)).decode()) == set(map(float, range(1, ROWS + 1)))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_row_is_an_error_that_says_where_and_what_to_type(tmp_path: Path, name: str) -> None:
    damage = DAMAGES[name]
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join([*LINES[:PLACE], damage.bad, *LINES[PLACE:]]))
    with pytest.raises(LogError) as caught:
        run(tmp_path / "log.csv", skip=False)
    message = str(caught.value)
    assert f"{tmp_path / 'log.csv'}, line {line_number()}: " in message
    assert damage.told in message
    assert "data.bad_rows=skip" in message
    assert damage.column is None or repr(damage.column) in message
    assert len(message) < 2_000
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("chunk_bytes", [1 << 24, 300])
def test_a_damaged_row_is_left_out_and_told_and_no_other_row_changes(
    tmp_path: Path, clean: Prepared, name: str, chunk_bytes: int
) -> None:
    damage = DAMAGES[name]
    if chunk_bytes == 300 and len(damage.bad) > 100_000:
        chunk_bytes = 100_000
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join([*LINES[:PLACE], damage.bad, *LINES[PLACE:]]))
    prepared = run(tmp_path / "log.csv", chunk_bytes=chunk_bytes)
    assert table(prepared) == table(clean)
    assert prepared.fingerprint == clean.fingerprint
    told = json.loads((tmp_path / "work" / "records" / "rejected.json").read_text())
    assert told["rows"] == damage.rows
    (by,) = told["by"]
    assert (by["reason"], by["column"], by["rows"]) == (damage.reason, damage.column, damage.rows)
    assert by["sample"][0]["place"] == f"{tmp_path / 'log.csv'}:{line_number()}"
    assert len(by["sample"][0]["text"]) <= 120
    assert prepared.description["rejected"] == told


@pytest.mark.parametrize("chunk_bytes", [1 << 24, 300])
def test_many_sorts_of_damage_in_one_log_are_counted_each(tmp_path: Path, clean: Prepared, chunk_bytes: int) -> None:
    few = {name: damage for name, damage in DAMAGES.items() if len(damage.bad) < 100_000}
    lines = list(LINES)
    for k, damage in enumerate(few.values()):
        lines.insert(2 * k, damage.bad)
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(lines))
    prepared = run(tmp_path / "log.csv", chunk_bytes=chunk_bytes)
    assert table(prepared) == table(clean)
    rejected = prepared.rejected
    assert rejected is not None
    expected = Counter((damage.reason, damage.column or "") for damage in few.values())
    assert rejected.counts == dict(expected)
    assert all(len(sample) == min(5, expected[key]) for key, sample in rejected.samples.items())


def test_rows_are_told_apart_by_position_not_by_chance(tmp_path: Path) -> None:
    """An unclosed quote that a later quote would close swallows no line between them."""
    lines = [as_csv([str(i % 2), f"u{i}", "a", "1", str(i + 1), "a"]) for i in range(20)]
    lines[5] = b'1,"u5,a,1,6,a\n'
    lines[11] = b'1,"u,11",a,1,12,a\n'
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(lines))
    prepared = run(tmp_path / "log.csv")
    assert prepared.train is not None
    assert set(prepared.train.arrays()["weight"][:, 0].tolist()) == set(map(float, range(1, 21))) - {6.0}


def test_random_damage_never_gives_a_row_that_no_line_has(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    log = HEADER + b"".join(as_csv([str(i % 2), f"u{i}", f"a{i}", str(i), str(i + 1), "a"]) for i in range(200))
    whole = {(f"u{i}", f"a{i}", float(i + 1)) for i in range(200)}
    for trial in range(12):
        damaged = bytearray(log)
        for at in draw.integers(len(HEADER), len(log), 8).tolist():
            damaged[at] = draw.choice(np.frombuffer(b'",\n\r\0\xff', dtype=np.uint8))
        (tmp_path / "log.csv").write_bytes(damaged)
        prepared = run(tmp_path / "log.csv", name=f"work{trial}", chunk_bytes=int(draw.integers(50, 3000)))
        assert prepared.train is not None
        arrays, index = prepared.train.arrays(), prepared.index
        names = {name: [None, None, *index.vocabularies[name]] for name in ("user", "ad")}
        found = [
            (names["user"][row[index["user"].start]], names["ad"][row[index["ad"].start]], weight)
            for row, weight in zip(arrays["ids"].tolist(), arrays["weight"][:, 0].tolist(), strict=True)
        ]
        changed = [one for one in found if one not in whole]
        assert len(changed) <= 8, changed  # A byte inside a value is that value's; nothing is shifted:
        for user, ad, _ in changed:
            assert user is None or ad is None or user[0] == "u" or ad[0] == "a", changed
        assert len(found) >= 180


def damaged(log: bytes, draw: np.random.Generator) -> bytes:
    """The log with some bytes changed, put in or taken out after the line of names."""
    marks = np.frombuffer(b'",\n\r\0\xff', dtype=np.uint8)
    data = bytearray(log)
    for _ in range(draw.integers(1, 12)):
        at = int(draw.integers(len(HEADER), len(data)))
        match draw.integers(3):
            case 0:
                data[at] = draw.choice(marks)
            case 1:
                data.insert(at, int(draw.choice(marks)))
            case _:
                del data[at : at + int(draw.integers(1, 30))]
    return bytes(data)


def test_what_is_rejected_depends_on_the_row_not_on_the_pieces(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    for _ in range(25):
        (tmp_path / "log.csv").write_bytes(damaged(HEADER + b"".join(LINES), draw))
        found = []
        for chunk_bytes in (1 << 20, int(draw.integers(60, 2000))):
            rejected, rows = Rejections(), []
            for piece in read_pieces([tmp_path / "log.csv"], schema(), chunk_bytes=chunk_bytes):
                chunk = piece.parse(rejected)
                columns = [column.to_pylist() for column in chunk.columns.values()]
                rows += [(chunk.number(k), *row) for k, row in enumerate(zip(*columns, strict=True))]
            found.append((rows, rejected))
        assert found[0] == found[1]
        assert found[0][1].rows > 0 or len(found[0][0]) > 50


def test_tab_separated_logs_are_checked_too(tmp_path: Path) -> None:
    lines = [b"\t".join([str(i % 2).encode(), b'u"%d' % i, b"a", b"1", b"%d" % (i + 1), b"a"]) for i in range(30)]
    bad = [
        b"1\tu\ta\t1\t99",
        b"1\tu\xff\ta\t1\t99\ta",
        b"1\tu\0\ta\t1\t99\ta",
        b"1\tu\ta\tx\t99\ta",
        b"7\tu\ta\t1\t99\ta",
    ]
    (tmp_path / "log.tsv").write_bytes(b"\n".join([*lines[:10], *bad, *lines[10:]]) + b"\n")
    read_as = schema(format={"kind": "tsv", "columns": COLUMNS})
    prepared = run(tmp_path / "log.tsv", read_as)
    assert prepared.train is not None
    np.testing.assert_array_equal(prepared.train.arrays()["weight"][:, 0], np.arange(1, 31))
    assert prepared.rejected is not None
    shown = [sample["place"] for samples in prepared.rejected.samples.values() for sample in samples]
    assert sorted(shown) == [f"{tmp_path / 'log.tsv'}:{line}" for line in range(11, 16)]
    with pytest.raises(LogError, match=r"log.tsv, line 11: got 5 values, expected 6"):
        run(tmp_path / "log.tsv", read_as, skip=False, name="other")


def test_a_time_that_is_no_number_among_numbers_is_a_bad_row(tmp_path: Path) -> None:
    lines = [as_csv([str(i % 2), f"u{i}", "a", "1", str(i + 1), "a"]) for i in range(40)]
    lines[30] = b"1,u,a,soon,31,a\n"
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(lines))
    read_as = schema(time="price", features={"user": {"kind": "categorical"}})
    split = Split(by="time", validation=0, test=0)
    with pytest.raises(LogError, match=r"line 32: time column 'price' holds 'soon', expected a number as in most"):
        prepare(read_as, tmp_path / "log.csv", tmp_path / "work", split=split)
    prepared = prepare(read_as, tmp_path / "log.csv", tmp_path / "work", split=split, options=options(skip=True))
    assert sum(prepared.rows.values()) == 39
