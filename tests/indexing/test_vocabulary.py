"""Vocabularies: order, lookup, the file, and damage to it."""

from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import ArtifactError
from ctrkit.indexing import Vocabulary
from ctrkit.indexing import vocabulary as module
from ctrkit.indexing.vocabulary import byte_order

LETTERS = ["a", "b", "\0", "é", "€", "z", "\U0001f600"]  # One to four bytes, and one that pads.


def words(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    found = {"".join(draw.choices(LETTERS, k=draw.choice([0, 1, 3, 7, 8, 9, 16, 17, 30]))) for _ in range(count)}
    found |= {"a" * k for k in (7, 8, 9, 15, 16, 17, 24)} | {"a" * 8 + "\0" * k for k in range(5)}
    listed = sorted(found)
    draw.shuffle(listed)
    return listed


def test_byte_order_is_that_of_sorting_encoded_values() -> None:
    values = words(5000)
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)])
    order = byte_order(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)
    assert [encoded[place] for place in order] == sorted(encoded)


def test_every_value_has_its_rank_and_no_other_value_has_one() -> None:
    values = words(2000) + ["long " * k for k in range(10, 40)]  # Longer than what is hashed together, too.
    unknown = sorted(set(words(2000, seed=1)) - set(values))
    assert len(unknown) > 500
    vocabulary = Vocabulary.of(values, np.arange(len(values))[::-1])
    assert [vocabulary.rank(value) for value in values] == list(range(len(values)))
    assert {vocabulary.rank(value) for value in unknown} == {-1}
    assert vocabulary.ranks([*unknown, *values]).tolist() == [-1] * len(unknown) + list(range(len(values)))
    assert list(vocabulary) == values
    assert vocabulary.value(7) == values[7]


@pytest.mark.parametrize("spelling", ["{:08x}", "user_{:012d}", "{}", "{}\0\0"])
def test_a_search_of_regular_values_is_short(spelling: str) -> None:
    values = [spelling.format(number) for number in range(50_000)]
    slots = Vocabulary.of(values, np.ones(len(values))).slots
    place = np.empty(len(values), dtype=np.int64)
    place[slots.ranks[slots.ranks >= 0]] = np.flatnonzero(slots.ranks >= 0)
    distance = place - [slots.home(value.encode()) for value in values]
    assert distance.min() == 0
    assert distance.mean() < 1.5  # 0.5 slots expected at half full.
    assert slots.ranks[-1] == -1


def test_many_values_are_looked_up_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ONE_READ", 64)
    values = words(1000)
    vocabulary = Vocabulary.of(values, np.ones(len(values)))
    assert vocabulary.ranks(values[::-1]).tolist() == list(range(len(values)))[::-1]
    expected = hashlib.sha256(np.cumsum([0, *(len(v.encode()) for v in values)]).astype("<i8").tobytes())
    expected.update("".join(values).encode())
    assert vocabulary.digest() == expected.hexdigest()  # Fingerprints of saved indexes rely on it for ever.


def test_saved_vocabulary_is_the_same(tmp_path: Path) -> None:
    values = words(500)
    vocabulary = Vocabulary.of(values, np.arange(len(values)))
    vocabulary.save(tmp_path / "a.vocab")
    loaded = Vocabulary.load(tmp_path / "a.vocab")
    assert list(loaded) == values
    assert loaded.counts.tolist() == list(range(len(values)))
    assert loaded.digest() == vocabulary.digest()
    assert [loaded.rank(value) for value in values[:20]] == list(range(20))
    assert Vocabulary.of(values[::-1], np.arange(len(values))).digest() != vocabulary.digest()
    assert Vocabulary.of(["ab", "c"], [1, 1]).digest() != Vocabulary.of(["a", "bc"], [1, 1]).digest()


def test_empty_vocabulary_knows_nothing(tmp_path: Path) -> None:
    Vocabulary.of([], []).save(tmp_path / "a.vocab")
    loaded = Vocabulary.load(tmp_path / "a.vocab")
    assert (len(loaded), list(loaded), loaded.rank("a"), loaded.rank("")) == (0, [], -1, -1)


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    values = ["b", "é", "a"]
    vocabulary = Vocabulary.of(values, [3, 2, 1])
    order = np.array([2, 0, 1], np.int32)  # By value; nothing reads it any more.
    sections, position, content = {}, 0, b""
    offsets = np.array([0, 1, 3, 4])
    for name, array in {
        "offsets": offsets,
        "order": order,
        "counts": np.array([3, 2, 1]),
        "blob": vocabulary.blob,
    }.items():
        sections[name] = [array.dtype.str, position, len(array)]
        content += array.tobytes().ljust(64, b"\0")
        position += 64
    header = json.dumps({"sections": sections, "bytes": position}).encode()
    start = -(-(16 + len(header)) // 64) * 64
    whole = (module.OLD_MAGIC + len(header).to_bytes(8, "little") + header).ljust(start, b"\0") + content
    (tmp_path / "old.vocab").write_bytes(whole)
    for verify in (False, True):
        old = Vocabulary.load(tmp_path / "old.vocab", verify=verify)
        assert (list(old), old.digest(), old.counts.tolist()) == (values, vocabulary.digest(), [3, 2, 1])
        assert [old.rank(value) for value in [*values, "c"]] == [0, 1, 2, -1]


def test_a_flipped_bit_is_found_when_the_file_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "a.vocab"
    Vocabulary.of(words(50), np.ones(len(words(50)))).save(path)
    whole = bytearray(path.read_bytes())
    sections = json.loads(whole[16 : 16 + int.from_bytes(whole[8:16], "little")])["sections"]
    start = len(whole) - json.loads(whole[16 : 16 + int.from_bytes(whole[8:16], "little")])["bytes"]
    Vocabulary.load(path, verify=True)
    for name in ("offsets", "slots", "blob"):
        damaged = whole.copy()
        damaged[start + sections[name][1] + 5] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"a\.vocab does not hold what was written"):
            Vocabulary.load(path, verify=True)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.vocab"
    with pytest.raises(ArtifactError, match=r"Cannot read vocabulary .*a.vocab"):
        Vocabulary.load(path)
    Vocabulary.of(words(50), np.ones(len(words(50)))).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ArtifactError, match=r"bytes, expected .*: it is cut short. Build the index again"):
        Vocabulary.load(path)
    path.write_bytes(b"a\nb\nc\n")
    with pytest.raises(ArtifactError, match=r"a.vocab is not a vocabulary file"):
        Vocabulary.load(path)
    path.write_bytes(whole[:30])
    with pytest.raises(ArtifactError, match="Cannot read vocabulary"):
        Vocabulary.load(path)


def test_half_a_million_values_take_about_a_second_at_most() -> None:
    values = [f"{number:08x}" for number in random.Random(0).sample(range(2**32), 500_000)]
    began = time.process_time()
    assert len(Vocabulary.of(values, np.ones(len(values))).slots.ranks) > len(values)
    assert time.process_time() - began < 3  # 0.3 s on a quiet machine; sorting in Python takes longer than all of this.
