"""Compiled signatures: the same scores, the same care for ids out of range, chosen by asking or by measuring."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ctrkit.errors import ConfigError, ExportError
from ctrkit.export import ExportOptions, Manifest, compilation, export_model, open_exported
from ctrkit.export.freeze import check_compiled_guard
from ctrkit.export.warmup import named_arrays
from ctrkit.indexing import OOV_ROW, FeatureIndex
from ctrkit.serving.deployment.turns import take_turns
from ctrkit.serving.runtime import SavedModelRuntime
from ctrkit.serving.servable import Servable
from tests.export.conftest import draw_ids, foreign, shake, sided

SCORING = {"serving_default", "rank", "named"}
SIZES = (1, 8)


def quick(**changes: object) -> ExportOptions:
    return ExportOptions(**{"buckets": SIZES, "golden_rows": 4, "xla": True, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def net(index: FeatureIndex) -> tf.keras.Model:
    return sided(index)


@pytest.fixture(scope="module")
def compiled(net: tf.keras.Model, index: FeatureIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(net, index, tmp_path_factory.mktemp("compiled"), options=quick())


@pytest.fixture(scope="module")
def runtime(compiled: Path):  # type: ignore[no-untyped-def]
    with SavedModelRuntime.load(compiled) as loaded:
        yield loaded


def scores(
    runtime: SavedModelRuntime, manifest: Manifest, index: FeatureIndex, ids: np.ndarray
) -> dict[str, np.ndarray]:
    """Every signature's scores of `ids`; `rank` takes the first row's user for all."""
    cut = index.user_width
    asked = {
        "serving_default": {"ids": ids},
        "rank": {"user_ids": ids[:1, :cut], "item_ids": np.ascontiguousarray(ids[:, cut:])},
        "named": {n: np.ascontiguousarray(a) for n, a in named_arrays(index, ids, manifest.named_inputs).items()},
    }
    return {name: runtime.run(name, inputs)["ctr"] for name, inputs in asked.items()}


def jit_functions(path: Path) -> set[str]:
    """Names of the functions that TensorFlow must compile."""
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    library = saved.meta_graphs[0].graph_def.library.function
    return {f.signature.name for f in library if f.attr["_XlaMustCompile"].b}


@pytest.mark.parametrize("rows", [*SIZES, 5])  # 5: no bucket; slow, but not wrong.
def test_compiled_signatures_score_as_keras_does(
    rows: int, net: tf.keras.Model, runtime: SavedModelRuntime, compiled: Path, index: FeatureIndex
) -> None:
    ids = draw_ids(index, rows, seed=3)
    one_user = ids.copy()
    one_user[:, : index.user_width] = ids[0, : index.user_width]
    found = scores(runtime, open_exported(compiled).manifest, index, ids)
    for name, expected_of in {"serving_default": ids, "rank": one_user, "named": ids}.items():
        np.testing.assert_allclose(found[name], net(expected_of).numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("own", [True, False], ids=["Inputs guards it", "the export guards it"])
def test_an_id_out_of_range_scores_as_the_oov_row_under_xla(
    own: bool, net: tf.keras.Model, compiled: Path, index: FeatureIndex, tmp_path: Path
) -> None:
    model = net if own else foreign(index)
    path = compiled if own else export_model(model, index, tmp_path, options=quick())
    manifest = open_exported(path).manifest
    assert manifest.out_of_range == ("model" if own else "export")
    ids = draw_ids(index, 1, seed=5)
    with SavedModelRuntime.load(path) as loaded:
        for column in range(index.width):
            mapped = ids.copy()
            mapped[0, column] = OOV_ROW
            expected = model(mapped).numpy()
            for wrong in (-1, int(index.rows_per_column[column]), np.iinfo(np.int32).max):
                given = ids.copy()
                given[0, column] = wrong
                for name, found in scores(loaded, manifest, index, given).items():
                    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0, err_msg=f"{name} {column} {wrong}")


def test_a_compiled_signature_that_reads_another_row_is_refused(index: FeatureIndex) -> None:
    weights = np.linspace(0.1, 0.9, 7)
    unguarded = lambda ids: weights[np.clip(ids, 0, 6)].sum(axis=1)  # noqa: E731  As a gather under XLA does.
    with pytest.raises(ExportError, match=r"'rank', compiled by XLA, scores an id out of range .*export\.xla=false"):
        check_compiled_guard(unguarded, "rank", index, draw_ids(index, 1)[0])
    guarded = lambda ids: weights[np.where((ids < 0) | (ids >= index.rows_per_column), OOV_ROW, ids) % 7].sum(axis=1)  # noqa: E731
    check_compiled_guard(guarded, "rank", index, draw_ids(index, 1)[0])


def test_the_manifest_names_compiled_signatures_and_their_batch_sizes(compiled: Path, exported: Path) -> None:
    manifest = open_exported(compiled).manifest
    assert manifest.compiled == dict.fromkeys(SCORING, SIZES)
    assert manifest.xla.asked is True
    assert jit_functions(compiled)
    plain = open_exported(exported).manifest
    assert (plain.compiled, plain.xla.asked) == ({}, False)
    assert not jit_functions(exported)


def test_auto_measures_both_and_keeps_the_faster(
    net: tf.keras.Model, index: FeatureIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "WORTH", 0.0)  # However slow XLA is: what is measured decides, not luck.
    path = export_model(net, index, tmp_path, options=quick(xla="auto", buckets=(3,)))
    manifest = open_exported(path).manifest
    assert manifest.compiled == dict.fromkeys(SCORING, (3,))
    assert manifest.xla.asked == "auto"
    assert set(manifest.xla.milliseconds) == SCORING
    for by_size in manifest.xla.milliseconds.values():
        assert set(by_size) == {"3"}
        for both in by_size.values():
            assert set(both) == {"plain", "compiled"}
            assert all(0 < value < 1000 for value in both.values())
    assert "rank" in manifest.xla.reason
    assert sorted(child.name for child in path.iterdir()) == [
        "assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables",
    ]  # fmt: skip


def test_a_signature_is_judged_by_all_sizes_of_a_batch() -> None:
    assert compilation.judge(
        {
            "rank": {"1": {"plain": 1.0, "compiled": 0.5}, "100": {"plain": 1.0, "compiled": 1.6}},
            "named": {"1": {"plain": 1.0, "compiled": 2.0}},
        }
    ) == {"rank": pytest.approx((2 / 1.6) ** 0.5), "named": pytest.approx(0.5)}


def test_auto_leaves_what_is_not_worth_it_and_what_cannot_be_compiled(
    index: FeatureIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "WORTH", 1e9)
    manifest = open_exported(export_model(uncompilable(index), index, tmp_path, options=quick(xla="auto"))).manifest
    assert manifest.compiled == {}
    assert manifest.xla.milliseconds == {}
    assert "serving_default cannot be compiled (" in manifest.xla.reason


def test_asking_for_xla_where_it_cannot_be_says_what_to_type(index: FeatureIndex, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"XLA cannot compile signature 'serving_default': .*`export\.xla=false`"):
        export_model(uncompilable(index), index, tmp_path, options=quick())
    assert not [child for child in tmp_path.iterdir() if child.name.isdigit()]


def test_a_measurement_that_fails_publishes_nothing(
    net: tf.keras.Model, index: FeatureIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "MEASURING", "ctrkit.no_such_module")
    with pytest.raises(ExportError, match=r"Measuring XLA ended with status 1 \(.*no_such_module.*xla=false"):
        export_model(net, index, tmp_path, options=quick(xla="auto"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xla": "yes"}, r"`xla` is 'yes', expected true, false or auto"),
        ({"xla": 1}, r"`xla` is 1, expected true, false or auto"),
        ({"xla": "auto", "buckets": ()}, r"there are no `buckets`: .*e\.g\. buckets=\[1,10,100,1000\]"),
    ],
)
def test_options_about_xla_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quick(**changes)


def test_an_export_from_before_xla_is_read_as_not_compiled_and_served(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(exported, tmp_path / "1")
    path = copy / "assets.extra" / "ctrkit.json"
    described = json.loads(path.read_text())
    del described["compiled"], described["xla"]
    path.write_text(json.dumps({**described, "format_version": 1}))
    manifest = open_exported(copy).manifest
    assert manifest.compiled == {}
    assert manifest.golden == open_exported(exported).manifest.golden
    served = Servable.load(copy, 1)  # Which scores the golden rows.
    served.close()


def test_turns_tell_a_slow_way_from_a_fast_one() -> None:
    calls = {"left": 0, "right": 0}

    def way(name: str, steps: int) -> None:
        calls[name] += 1
        sum(range(steps))

    (left, right), rounds = take_turns(lambda: way("left", 2_000), lambda: way("right", 40_000))
    assert right > 5 * left
    assert rounds >= 15
    assert calls["left"] == calls["right"]  # As often, so that both see the same weather.


def uncompilable(index: FeatureIndex) -> tf.keras.Model:
    """A model with strings inside, which XLA does not know."""
    ids = tf.keras.Input((index.width,), dtype=tf.int32)
    numbers = tf.keras.layers.Lambda(lambda x: tf.strings.to_number(tf.strings.as_string(tf.clip_by_value(x, 0, 1))))(
        ids
    )
    return shake(tf.keras.Model(ids, tf.keras.layers.Dense(1, activation="sigmoid")(numbers), name="strings"))
