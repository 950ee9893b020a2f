"""Strings as 64-bit words and back."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ctrkit.records.words import strings_of, unified, words_of

LONG = "longer than eight bytes"


def test_strings_come_back_from_their_words() -> None:
    values = ["", "a", "12345678", "é", "🙂🙂", " x ", "\x01"]
    words = words_of(pa.array(values))
    assert words is not None
    assert strings_of(words).to_pylist() == values
    assert len(set(words.tolist())) == len(values)


@pytest.mark.parametrize("value", [LONG, "a\0", "\0", "123456789", "äääää"])
def test_strings_that_words_cannot_tell_apart_have_none(value: str) -> None:
    assert words_of(pa.array(["a", value])) is None


def test_a_slice_of_an_array_has_the_words_of_its_own_strings() -> None:
    whole = pa.array([LONG, "b", "cc", LONG])
    words = words_of(whole.slice(1, 2))
    assert words is not None
    assert strings_of(words).to_pylist() == ["b", "cc"]


@pytest.mark.parametrize("extra", ["b", LONG])  # By words, by strings.
def test_unified_parts_point_at_their_own_strings(extra: str) -> None:
    parts = [["a", "b"], [], ["c", "a", extra], [], ["d"]]
    values, places = unified([pa.array(part, pa.string()) for part in parts])
    assert values.to_pylist() == list(dict.fromkeys(value for part in parts for value in part))
    assert [[values[place].as_py() for place in part.tolist()] for part in places] == parts


def test_nothing_unified_is_nothing() -> None:
    values, places = unified([pa.array([], pa.string()), pa.array([], pa.string())])
    assert (len(values), [len(part) for part in places]) == (0, [0, 0])


@pytest.mark.parametrize("at_once", [1, 22])  # Bits: in shares of two words, all at once.
def test_many_words_are_sorted_with_the_same_result(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("ctrkit.records.words._SORTED_BITS", at_once)
    parts = [pa.array(["b", "a", "long-ish"]), pa.array([], pa.string()), pa.array(["a", "c"])]
    monkeypatch.setattr("ctrkit.records.words._MANY", 0)
    values, places = unified(parts)
    assert sorted(values.to_pylist()) == ["a", "b", "c", "long-ish"]
    assert [values.take(pa.array(place)).to_pylist() for place in places] == [part.to_pylist() for part in parts]
