"""`verify` replays rows on every path and is loud about a difference."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError, ParityError
from ctrkit.export import export_model, open_exported, verify
from ctrkit.indexing import FeatureIndex
from ctrkit.models import wide_deep_ensemble
from ctrkit.records import Records
from tests.export.conftest import QUICK, make_index, make_records, shake, sided

PATHS = ["golden rows", "serving_default", "named", "rank, 1 candidate", "rank, 100 candidates", "an id out of range"]


def test_all_paths_agree(exported: Path, records: Records, model: tf.keras.Model) -> None:
    report = verify(exported, records, model=model, scorers={"server": lambda ids: model.predict(ids, verbose=0)})
    assert [path.name for path in report.paths] == [*PATHS, "server"]
    assert [path.rows for path in report.paths] == [18, 300, 300, 300, 300, 300, 300]
    assert report.reference == "keras"
    assert report.largest <= 1e-6
    assert str(report).startswith(f"scores equal those of keras within 1e-05; index {records.fingerprint[:12]}")
    assert "rank, 1 candidate         300 rows  largest difference" in str(report)


def test_an_ensemble_whose_members_learn_apart_is_exported(
    records: Records, index: FeatureIndex, tmp_path: Path
) -> None:
    model = shake(wide_deep_ensemble(index, members=2, dim=2, hidden=(4,), click_rates=5.0))
    report = verify(export_model(model, index, tmp_path, records=records, options=QUICK), records, model=model)
    assert [path.name for path in report.paths] == PATHS
    assert report.largest <= 1e-6


def test_the_saved_model_is_the_reference_without_a_model(exported: Path, records: Records) -> None:
    report = verify(exported.parent, records, rows=20)
    assert report.reference == "serving_default"
    assert [path.name for path in report.paths] == [name for name in PATHS if name != "serving_default"]
    assert {path.rows for path in report.paths[1:]} == {20}


def test_a_model_trained_on_since_the_export_is_noticed(records: Records, index: FeatureIndex, tmp_path: Path) -> None:
    model = sided(index)
    exported = export_model(model, index, tmp_path, options=QUICK)
    before = model.predict(open_exported(exported).manifest.golden.arrays()[0], verbose=0)
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    after = model.predict(open_exported(exported).manifest.golden.arrays()[0], verbose=0)
    row = int(np.argmax(np.abs(before - after)))
    message = rf"Row {row}: keras gives (0\.\d+), golden rows gives (0\.\d+), .*Export the model again with `ctrkit"
    with pytest.raises(ParityError, match=message) as caught:
        verify(exported, records, model=model)
    told = re.match(message, str(caught.value))
    assert told is not None
    # Another batch size may round the last of a float32's bits, and so the last printed digit, otherwise.
    assert [float(score) for score in told.groups()] == pytest.approx([after[row, 0], before[row, 0]], abs=1e-6)


@pytest.mark.parametrize("wrong", [2e-5, float("nan")])
def test_a_server_that_scores_one_row_otherwise_is_named(
    wrong: float, exported: Path, records: Records, model: tf.keras.Model
) -> None:
    def server(ids: np.ndarray) -> np.ndarray:
        scores = model.predict(ids, verbose=0)[:, 0]
        scores[17] += wrong
        return scores

    message = r"Row 17: keras gives 0\.\d+, server gives .* 1 of 300 rows differ.*`ctrkit serve`"
    with pytest.raises(ParityError, match=message):
        verify(exported, records, model=model, scorers={"server": server})


def test_the_bound_is_the_callers(exported: Path, records: Records, model: tf.keras.Model) -> None:
    scorers = {"server": lambda ids: model.predict(ids, verbose=0) + 2e-5}
    report = verify(exported, records, model=model, scorers=scorers, bound=1e-4)
    assert report.paths[-1].largest == pytest.approx(2e-5, rel=0.1)


def test_a_scorer_of_another_shape_is_refused(exported: Path, records: Records) -> None:
    with pytest.raises(ParityError, match=r"'server' gave scores of shape \(1,\) for 300 rows, expected \(300, 1\)"):
        verify(exported, records, scorers={"server": lambda ids: np.zeros(1)})


def test_records_of_another_index_are_refused(exported: Path, tmp_path: Path) -> None:
    other = make_index(ads=31)
    with pytest.raises(IndexMismatchError, match=rf"{other.fingerprint[:12]}, export .*their rows mean other values"):
        verify(exported, make_records(tmp_path / "records", other, 10))


def test_a_directory_put_together_from_two_exports_is_refused(exported: Path, tmp_path: Path) -> None:
    other = make_index(ads=31)
    path = export_model(sided(other), other, tmp_path / "export", options=QUICK)
    for part in ("saved_model.pb", "variables"):
        target = path / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        shutil.copytree(exported / part, target) if (exported / part).is_dir() else shutil.copy(exported / part, target)
    with pytest.raises(IndexMismatchError, match=r"graph of .* says fingerprint .*two exports"):
        verify(path, make_records(tmp_path / "records", other, 10))


def test_no_rows_to_replay(exported: Path, index: FeatureIndex, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no rows to replay\. Type part=train"):
        verify(exported, make_records(tmp_path / "records", index, 0))


@pytest.mark.parametrize(("rows", "bound"), [(0, 1e-5), (10, -1.0)])
def test_wrong_arguments(rows: int, bound: float, exported: Path, records: Records) -> None:
    with pytest.raises(ConfigError, match=r"expected rows >= 1 and 0 <= bound < 1"):
        verify(exported, records, rows=rows, bound=bound)


def test_a_damaged_variable_file_is_noticed(exported: Path, records: Records, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "1")
    data = next((copy / "variables").glob("variables.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0x40
    data.write_bytes(bytes(content))
    with pytest.raises((ParityError, ArtifactError)):
        verify(copy, records)
