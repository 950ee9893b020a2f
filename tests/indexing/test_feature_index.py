"""The index: layout, rows of raw values, the artifact and its fingerprint."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, RequestError, SchemaError
from ctrkit.indexing import MISSING_ROW, OOV_ROW, FeatureIndex, Vocabulary
from ctrkit.indexing.hashing import combine, combine_many, hash64, hash64_many
from ctrkit.schema import Schema

FEATURES: dict[str, Any] = {
    "ad": {"kind": "categorical", "oov": 2},
    "user": {"kind": "hashed", "buckets": 10, "side": "user"},
    "age": {"kind": "numeric", "boundaries": [18, 35.5], "side": "user"},
    "seen": {"kind": "sequence", "of": "ad", "max_length": 3, "side": "user"},
    "hour": {"kind": "numeric", "quantiles": 3, "side": "context"},
    "pair": {"kind": "cross", "of": ["age", "ad"]},
    "mixed": {"kind": "cross", "of": ["user", "ad"], "buckets": 20},
}


def make(features: dict[str, Any] | None = None, **changes: Any) -> FeatureIndex:
    schema = Schema.from_dict(
        {"label": "y", "format": {"kind": "csv", "missing": ["NA", -1]}, "features": features or FEATURES, **changes}
    )
    vocabularies = {
        "ad": Vocabulary.of(["a", "7", "true"], [3, 2, 1]),
        "pair": Vocabulary.of(["2\x1fa", "4\x1f7"], [2, 1]),
    }
    return FeatureIndex(schema, vocabularies, {"age": [18, 35.5], "hour": [8, 16]})


def column(index: FeatureIndex, name: str, **row: Any) -> Any:
    found = index.ids([row])[0, index[name].columns].tolist()
    return found if index[name].length > 1 else found[0]


def test_columns_come_by_side_and_add_up() -> None:
    index = make()
    assert [field.name for field in index.fields] == ["user", "age", "seen", "hour", "ad", "pair", "mixed"]
    assert [(field.start, field.length) for field in index.fields] == [
        (0, 1),
        (1, 1),
        (2, 3),
        (5, 1),
        (6, 1),
        (7, 1),
        (8, 1),
    ]
    assert (index.user_width, index.item_width, index.width) == (6, 3, 9)
    assert [field.rows for field in index.fields] == [12, 5, 6, 5, 6, 4, 22]
    assert index.rows_per_column.tolist() == [12, 5, 6, 6, 6, 5, 6, 4, 22]
    assert (index["seen"].table, index["seen"].oov) == ("ad", 2)


@pytest.mark.parametrize("missing", [None, "", "NA", "-1", -1, -1.0, float("nan"), b"", b"NA", np.float32("nan")])
def test_every_spelling_of_missing_is_row_0_of_every_feature(missing: Any) -> None:
    index = make()
    row = {
        "ad": missing,
        "user": missing,
        "age": missing,
        "seen": missing if isinstance(missing, str) else None,
        "hour": missing,
    }
    assert not index.ids([row]).any()
    assert not index.ids([{}]).any()


@pytest.mark.parametrize(
    ("value", "rank"),
    [("a", 0), (b"a", 0), ("7", 1), (7, 1), (np.int64(7), 1), (7.0, 1), (np.float32(7), 1), (True, 2), (np.True_, 2)],
)
def test_known_value_has_the_row_of_its_rank_however_it_is_typed(value: Any, rank: int) -> None:
    assert column(make(), "ad", ad=value) == 1 + 2 + rank


def test_one_does_not_pass_for_true() -> None:
    index = make()
    assert [column(index, "ad", ad=value) for value in (True, 1, 1.0, True)] == [5, *[OOV_ROW + hash64("1") % 2] * 2, 5]


def test_unseen_values_spread_over_the_oov_rows() -> None:
    index = make()
    rows = {column(index, "ad", ad=f"unseen {k}") for k in range(50)}
    assert rows == {1, 2}


@pytest.mark.parametrize(
    ("value", "row"),
    [
        (17.9, 2),
        (18, 3),
        ("18", 3),
        (" 35.4 ", 3),
        (35.5, 4),
        ("1e3", 4),
        (math.inf, 4),
        (-math.inf, 2),
        (True, 2),
        (b"20", 3),
    ],
)
def test_number_falls_into_the_bucket_that_begins_with_it(value: Any, row: int) -> None:
    assert column(make(), "age", age=value) == row


def test_sequence_keeps_the_last_present_values_oldest_first() -> None:
    index = make()
    assert column(index, "seen", seen="a|7||NA|true|a") == [4, 5, 3]
    assert column(index, "seen", seen=["7", None, 7.0]) == [4, 4, 0]
    assert column(index, "seen", seen=np.array(["a"])) == [3, 0, 0]
    assert column(index, "seen", seen=b"a|7") == [3, 4, 0]
    assert column(index, "seen", seen=[]) == [0, 0, 0]


def test_cross_counts_a_number_by_its_row_and_is_missing_when_a_part_is() -> None:
    index = make()
    assert column(index, "pair", age=3, ad="a") == 2
    assert column(index, "pair", age=50, ad=7) == 3
    assert column(index, "pair", age=50, ad="a") == OOV_ROW
    assert column(index, "pair", age=50) == column(index, "mixed", ad="a") == MISSING_ROW
    assert column(index, "mixed", user="u", ad="a") == 2 + combine([hash64("u"), hash64("a")]) % 20


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ad": ["a"]}, r"Field 'ad': got list \['a'\], expected a string, a number or None"),
        ({"ad": b"\xff"}, r"Field 'ad': b'\\xff' is not UTF-8"),
        ({"ad": "\ud800"}, "Field 'ad': .* holds half a surrogate pair"),
        ({"age": "old"}, "Field 'age': got 'old', expected a number or None"),
        ({"age": [3]}, "Field 'age'"),
        ({"age": 10**400}, "Field 'age'"),
        ({"seen": 5}, "Field 'seen': got 5, expected a list of values or a joined string"),
        ({"seen": {"a": 1}}, "Field 'seen'"),
        ({"seen": [["a"]]}, r"Field 'seen': got list"),
    ],
)
def test_value_that_cannot_be_read_names_its_field(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make().ids([row])


def test_halves_of_the_fields_give_the_halves_of_ids() -> None:
    index = make()
    rows = [{"ad": "a", "user": "u", "age": 20, "seen": "a|7", "hour": h} for h in (1, 9, 23)]
    halves = [index.ids_of(rows, index.user_fields), index.ids_of(rows, index.item_fields)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), index.ids(rows))
    assert index.ids([]).shape == (0, 9)
    assert index.ids(rows).dtype == np.int32


def test_remembered_values_do_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrkit.indexing.lookup.REMEMBERED", 10)
    index = make()
    first = index.ids([{"ad": f"v{k}", "age": k} for k in range(100)])
    np.testing.assert_array_equal(index.ids([{"ad": f"v{k}", "age": k} for k in range(100)]), first)
    assert all(len(known) <= 10 for pair in index.lookup._known.values() for known in pair)


def test_saved_index_gives_the_same_rows_and_fingerprint(tmp_path: Path) -> None:
    index = make()
    index.save(tmp_path / "index")
    loaded = FeatureIndex.load(tmp_path / "index")
    rows = [{"ad": "a", "user": "u", "age": 20, "seen": "a|x", "hour": 9}, {}]
    np.testing.assert_array_equal(loaded.ids(rows), index.ids(rows))
    assert loaded.fingerprint == index.fingerprint
    assert loaded.schema == index.schema
    assert FeatureIndex.load(tmp_path / "index", verify=False).fingerprint == index.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"ad": {"kind": "categorical", "oov": 3}},
        {"user": {"kind": "hashed", "buckets": 11, "side": "user"}},
        {"user": {"kind": "hashed", "buckets": 10, "side": "context"}},
        {"user": {"kind": "hashed", "buckets": 10, "side": "user", "column": "member"}},
        {"seen": {"kind": "sequence", "of": "ad", "max_length": 4, "side": "user"}},
    ],
)
def test_fingerprint_changes_with_the_meaning_of_a_row(changed: dict[str, Any]) -> None:
    assert make({**FEATURES, **changed}).fingerprint != make().fingerprint


def test_fingerprint_changes_with_vocabulary_boundaries_and_missing_alone() -> None:
    index = make()
    other_words = FeatureIndex(
        index.schema, {**index.vocabularies, "ad": Vocabulary.of(["7", "a", "true"], [3, 2, 1])}, index.boundaries
    )
    other_cuts = FeatureIndex(index.schema, index.vocabularies, {**index.boundaries, "hour": [8, 17]})
    other_missing = make(format={"kind": "csv", "missing": ["NA"]})
    assert len({index.fingerprint, other_words.fingerprint, other_cuts.fingerprint, other_missing.fingerprint}) == 4
    same = make(label="z >= 3", weight="w", format={"kind": "tsv", "missing": ["NA", -1]})
    assert same.fingerprint == index.fingerprint
    counted = FeatureIndex(index.schema, index.vocabularies, index.boundaries, {"train_rows": 9})
    assert counted.fingerprint == index.fingerprint


def test_index_that_is_absent_damaged_or_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    with pytest.raises(ArtifactError, match=r"No feature index at .*index.*`ctrkit prepare`"):
        FeatureIndex.load(path)
    make().save(path)
    text = (path / "index.json").read_text()
    for damaged in (text[:50], "[]", "{}", text.replace('"boundaries"', '"bounds"')):
        (path / "index.json").write_text(damaged)
        with pytest.raises(ArtifactError, match=r"Cannot read .*index.json.*Make it again"):
            FeatureIndex.load(path)
    (path / "index.json").write_text(json.dumps({**json.loads(text), "format_version": 7}))
    with pytest.raises(ArtifactError, match="has format version 7, this ctrkit reads 1"):
        FeatureIndex.load(path)
    (path / "index.json").write_text(text)
    Vocabulary.of(["x", "7", "true"], [3, 2, 1]).save(path / "vocabulary" / "ad.vocab")
    with pytest.raises(ArtifactError, match="it was changed after it was written"):
        FeatureIndex.load(path)


def test_index_without_its_vocabulary_or_boundaries_is_refused() -> None:
    index = make()
    with pytest.raises(ArtifactError, match="no vocabulary for feature 'ad'"):
        FeatureIndex(index.schema, {}, index.boundaries)
    with pytest.raises(ArtifactError, match="no boundaries for numeric feature 'age'"):
        FeatureIndex(index.schema, index.vocabularies, {})
    with pytest.raises(SchemaError, match=r"No feature 'usre' in the index. Did you mean 'user'"):
        index["usre"]


def test_hashes_are_the_same_one_by_one_and_many_at_once() -> None:
    values = ["", "a", "日本", "x" * 100]
    assert hash64_many(values).tolist() == [hash64(value) for value in values]
    columns = [np.random.default_rng(k).integers(0, 2**64, 50, dtype=np.uint64) for k in range(3)]
    expected = [combine([int(column[i]) for column in columns]) for i in range(50)]
    assert combine_many(columns).tolist() == expected
    golden = (hash64("a"), hash64(""), combine([1, 2]))  # Saved indexes rely on them for ever.
    assert golden == (0x2F42665B399EF840, 0xB4B2797457A0A6E4, 0xBCD9DBB49673066B)


def test_index_imports_neither_tensorflow_nor_pyarrow() -> None:
    code = (
        "import sys, ctrkit.indexing; print(sorted({'tensorflow', 'pyarrow', 'polars', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
