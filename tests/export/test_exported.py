"""Opening an export, and what is inside, without TensorFlow where that is promised."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from ctrkit.errors import ArtifactError, IndexMismatchError
from ctrkit.export import ExportOptions, export_model, open_exported
from ctrkit.indexing import FeatureIndex
from ctrkit.records import Records
from tests.export.conftest import make_index, make_records, sided


def test_opening_needs_no_tensorflow(exported: Path, index: FeatureIndex) -> None:
    program = (
        "import sys; from ctrkit.export import ExportOptions, open_exported; e = open_exported(sys.argv[1]); "
        "print(e.index.fingerprint, e.version, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(exported)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [index.fingerprint, "1", "False"]


def test_the_index_inside_gives_the_same_ids(exported: Path, index: FeatureIndex) -> None:
    inside = FeatureIndex.load(exported / "assets" / "feature_index")
    impressions = [
        {"user": "user3", "history": "ad1|ad2|nobody", "hour": "7", "ad": "ad5", "price": 1.5},
        {"user": "nobody", "ad": "never seen", "price": None},
    ]
    np.testing.assert_array_equal(inside.ids(impressions), index.ids(impressions))


def test_a_directory_of_versions_opens_the_newest(exported: Path, tmp_path: Path) -> None:
    for version in ("2", "10"):
        shutil.copytree(exported, tmp_path / version)
    assert open_exported(tmp_path).version == 10


def test_the_manifest_describes_the_export(exported: Path, model: tf.keras.Model, index: FeatureIndex) -> None:
    manifest = open_exported(exported).manifest
    assert manifest.model == "wide_deep"
    assert (manifest.width, manifest.user_width, manifest.item_width) == (9, 6, 3)
    assert manifest.parameters == model.count_params()
    assert manifest.signatures["rank"] == ("user_ids", "item_ids")
    assert manifest.rows_from == "records"
    assert set(manifest.named_inputs) == {field.name for field in index.fields}


def test_there_is_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"No exported model at .*no such directory.*`ctrkit export`"):
        open_exported(tmp_path / "absent")


def test_a_saved_model_without_an_index_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ArtifactError, match=r"has no assets/feature_index: .*`ctrkit export`.*`tf\.saved_model\.save`"):
        open_exported(tmp_path / "1")


def test_a_saved_model_without_a_manifest_is_refused(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "1")
    (copy / "assets.extra" / "ctrkit.json").unlink()
    with pytest.raises(ArtifactError, match=r"has no assets\.extra/ctrkit\.json"):
        open_exported(copy)


def test_the_index_of_another_log_inside_is_refused(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "1")
    make_index(ads=31).save(copy / "assets" / "feature_index")
    with pytest.raises(IndexMismatchError, match=r"its rows would hit unrelated embeddings"):
        open_exported(copy).index  # noqa: B018


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:50], r"Cannot read .*ctrkit\.json"),
        (
            lambda text: text.replace('"format_version": 2', '"format_version": 9'),
            r"format version 9, .* reads 1 and 2\. Install a newer ctrkit",
        ),
        (lambda text: json.dumps({**json.loads(text), "golden": None}), r"is not whole"),
    ],
)
def test_a_damaged_manifest_is_refused(change, message: str, exported: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    copy = shutil.copytree(exported, tmp_path / "1")
    path = copy / "assets.extra" / "ctrkit.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(ArtifactError, match=message):
        open_exported(copy)


def test_saved_model_cli_reads_it(exported: Path) -> None:
    command = [str(Path(sys.executable).parent / "saved_model_cli"), "show", "--all", "--dir", str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in (
        "signature_def['serving_default']",
        "signature_def['rank']",
        "signature_def['named']",
        "signature_def['fingerprint']",
        "inputs['user_ids'] tensor_info:\n        dtype: DT_INT32\n        shape: (1, 6)",
        "inputs['item_ids'] tensor_info:\n        dtype: DT_INT32\n        shape: (-1, 3)",
        "inputs['history'] tensor_info:\n        dtype: DT_INT32\n        shape: (-1, 4)",
        "outputs['ctr'] tensor_info:\n        dtype: DT_FLOAT\n        shape: (-1, 1)",
    ):
        assert words in done.stdout


# --- warmup -------------------------------------------------------------------------------------------------------


def warmup_requests(exported: Path) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Parsed as TensorFlow Serving does."""
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    logs = [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(file))]
    requests = [log.predict_log.request for log in logs]
    return [(r.model_spec.signature_name, {k: tf.make_ndarray(v) for k, v in r.inputs.items()}) for r in requests]


def test_warmup_holds_real_rows_for_every_bucket_and_signature(
    exported: Path, records: Records, index: FeatureIndex
) -> None:
    requests = warmup_requests(exported)
    sizes = [(signature, max((len(a) for a in inputs.values()), default=0)) for signature, inputs in requests]
    expected = [(s, n) for n in (1, 10, 100, 1000) for s in ("serving_default", "rank", "named")] + [("fingerprint", 0)]
    assert sizes == expected
    real = records.arrays()["ids"]  # 300 rows: the bucket of 1,000 repeats them.
    cut = index.user_width
    for signature, inputs in requests:
        if signature == "serving_default":
            np.testing.assert_array_equal(inputs["ids"], real[np.arange(len(inputs["ids"])) % 300])
        if signature == "rank":
            np.testing.assert_array_equal(inputs["user_ids"], real[:1, :cut])
            assert inputs["item_ids"].dtype == np.int32


def test_every_warmup_request_runs(exported: Path) -> None:
    loaded = tf.saved_model.load(str(exported))
    for signature, inputs in warmup_requests(exported):
        loaded.signatures[signature](**{name: tf.constant(array) for name, array in inputs.items()})


def test_no_buckets_no_warmup(index: FeatureIndex, tmp_path: Path) -> None:
    records = make_records(tmp_path / "records", index, 0)  # Empty records are as good as none.
    options = ExportOptions(buckets=())
    assert (
        warmup_requests(export_model(sided(index), index, tmp_path / "export", records=records, options=options)) == []
    )
