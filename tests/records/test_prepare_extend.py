"""A later log appended to the index of an earlier one, in its place or elsewhere, killed or not."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError
from ctrkit.indexing import FeatureIndex
from ctrkit.promotion import why_no_extension
from ctrkit.records import Prepared, Split, prepare
from ctrkit.records.engine import Engine
from ctrkit.records.local import LocalEngine
from tests.records.engine_contract import FEATURES, LOG_ORDER, arrays, impressions, schema_of, write_text

SPLIT = Split(by="order", validation=0.1, test=0.2)


class ExtendContract:
    """Every engine extends an index alike; a subclass supplies its engine."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError("a subclass supplies its engine")

    @pytest.fixture
    def days(self, tmp_path: Path) -> list[Path]:
        return [write_text(tmp_path / f"{day}.csv", later(day)) for day in range(3)]

    def test_old_rows_stay_and_new_values_follow_by_count(self, engine: Engine, days: list[Path]) -> None:
        first = run(days[0], "work", engine)
        second = run(days[1], "work2", engine, extend=first.work_dir / "index")
        old, new = first.index, second.index
        assert why_no_extension(new, old) is None
        assert new.parent == first.fingerprint
        trained = later(1)[:280]  # 70% of 400 rows.
        for name, min_count, max_size in (("user", 2, None), ("ad", 1, 9)):
            counts = Counter(r[name] for r in trained if r[name] not in ("", "NA", "-1"))
            known = list(old.vocabularies[name])
            fresh = sorted(
                (v for v, n in counts.items() if v not in known and n >= min_count),
                key=lambda v: (-counts[v], v.encode()),
            )
            assert (
                list(new.vocabularies[name])
                == known + fresh[: None if max_size is None else max(0, max_size - len(known))]
            )
            assert new.vocabularies[name].counts[0] == old.vocabularies[name].counts[0] + counts[known[0]]
        assert new.boundaries == old.boundaries
        assert len(new.vocabularies["user"]) > len(old.vocabularies["user"])
        assert len(new.vocabularies["user_x_ad"]) > len(old.vocabularies["user_x_ad"])

    def test_the_records_are_of_the_extended_index(self, engine: Engine, days: list[Path]) -> None:
        first = run(days[0], "work", engine)
        second = run(days[1], "work2", engine, extend=first.index)
        np.testing.assert_array_equal(arrays(second, "train")["ids"], second.index.ids(later(1)[:280]))


class TestLocal(ExtendContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return LocalEngine()


def later(day: int) -> list[dict[str, Any]]:
    """Rows of a day; each day brings users of its own beside those of the days before."""
    rows = impressions(seed=day)
    for row in rows[::3]:
        if row["user"] not in ("", "NA"):
            row["user"] = f"d{day}-{row['user']}"
    return rows


def run(log: Path, folder: str, engine: Engine | None = None, **more: Any) -> Prepared:
    return prepare(schema_of("csv"), log, log.parent / folder, split=SPLIT, options=LOG_ORDER, engine=engine, **more)


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    return [write_text(tmp_path / f"{day}.csv", later(day)) for day in range(3)]


def test_in_its_place_each_day_extends_the_one_before_and_again_is_nothing_to_do(days: list[Path]) -> None:
    indexes = [run(days[0], "work").index]
    for log in days[1:]:
        prepared = run(log, "work", extend=True)
        seconds = prepared.description["seconds"]
        assert run(log, "work", extend=True).description["seconds"] == seconds
        assert run(log, "work").description["seconds"] == seconds  # As `train` asks, which knows of no extension.
        assert run(log, "work", extend=True, force=True).fingerprint == prepared.fingerprint
        indexes.append(prepared.index)
    assert [one.fingerprint for one in indexes[2].ancestors] == [indexes[1].fingerprint, indexes[0].fingerprint]
    assert indexes[2].ancestors[1].rows == {f.table: f.rows for f in indexes[0].fields}


def test_an_extension_that_was_cut_off_begins_again_from_the_same_index(days: list[Path], tmp_path: Path) -> None:
    first = run(days[0], "work")
    undisturbed = run(days[1], "other", extend=first.work_dir)
    run(days[1], "work", extend=True)
    work = tmp_path / "work"
    (work / "prepared.json").unlink()  # As after a kill between the new index and the last file.
    again = run(days[1], "work", extend=True)
    assert (again.fingerprint, again.index.parent) == (undisturbed.fingerprint, first.fingerprint)
    shutil.rmtree(work / "index")
    (work / "prepared.json").unlink()
    assert run(days[1], "work", extend=True).fingerprint == undisturbed.fingerprint


def test_a_log_of_its_own_leaves_nothing_to_extend_by_mistake(days: list[Path], tmp_path: Path) -> None:
    run(days[0], "work")
    run(days[1], "work", extend=True)
    run(days[2], "work")
    (tmp_path / "work" / "prepared.json").unlink()
    with pytest.raises(ArtifactError, match=r"no whole index to extend.*data\.extend=PATH"):
        run(days[1], "work", extend=True)


def test_the_report_counts_what_the_old_index_did_not_know(days: list[Path]) -> None:
    first = run(days[0], "work")
    second = run(days[1], "work2", extend=first.index)
    report = second.extension
    assert report is not None
    assert (report["parent"], report["train_rows"]) == (first.fingerprint, 280)
    users = [row["user"] for row in later(1)[:280]]
    present = [user for user in users if user not in ("", "NA")]
    unknown = [user for user in present if user not in list(first.index.vocabularies["user"])]
    found = report["features"]["user"]
    assert found["unseen"] == pytest.approx(len(unknown) / len(present))
    assert found["missing"] == pytest.approx(1 - len(present) / len(users))
    assert found["appended"] == len(second.index.vocabularies["user"]) - len(first.index.vocabularies["user"])
    assert 0 <= report["features"]["age"]["drift"] < 0.05 < found["drift"] <= 1
    together = second.index.statistics
    assert together["train_rows"] == 560
    vocabulary, seen = second.index.vocabularies["user"], together["features"]["user"]
    assert seen["missing"] + seen["out_of_vocabulary"] + int(vocabulary.counts.sum()) == 560


def test_an_index_of_another_schema_is_refused_by_the_name_of_the_feature(days: list[Path]) -> None:
    first = run(days[0], "work")
    changed = schema_of("csv", features={**FEATURES, "price": {"kind": "numeric", "quantiles": 7}})
    with pytest.raises(IndexMismatchError, match=r"work/index .*feature 'price' is .*quantiles.*leave out --extend"):
        prepare(changed, days[1], days[1].parent / "x", split=SPLIT, extend=first.work_dir)
    with pytest.raises(ConfigError, match="both `index` and `extend`"):
        run(days[1], "x", index=first.index, extend=first.index)
    with pytest.raises(ArtifactError, match="no whole index to extend"):
        run(days[1], "x", extend=True)
    assert FeatureIndex.load(first.work_dir / "index").fingerprint == first.fingerprint
