"""Clicks are counted before the first step: rightly, once, and on from an earlier run."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import IndexMismatchError
from ctrkit.layers import ClickCounts, ClickProbability, ClickRates, Inputs, SidedConcat, fold_of
from ctrkit.metrics import auc
from ctrkit.models import wide_deep
from ctrkit.records import Prepared, prepare
from ctrkit.schema import Schema
from ctrkit.training import carry_over, click_counts, count_clicks, train
from tests.training.runs import options, prepared_days

SCHEMA = {
    "label": "click",
    "weight": "weight",
    "features": {
        "seen": {"kind": "sequence", "of": "ad", "max_length": 2, "side": "user"},
        "user": {"kind": "categorical", "side": "user"},
        "ad": {"kind": "categorical", "min_count": 2},
        "hour": {"kind": "numeric", "boundaries": [6, 12]},
    },
}


def day_of(path: Path, day: int, rows: int = 400) -> Path:
    draw = np.random.default_rng(day)
    lines = ["click,weight,user,seen,ad,hour"]
    for _ in range(rows):
        user, ad, hour = draw.zipf(1.5) % 50 + 20 * day, draw.zipf(1.5) % 30 + 5 * day, draw.integers(24)
        click = int(draw.random() < 0.2 + 0.5 * (ad % 3 == 0))
        seen = draw.choice(["", f"a{ad + 1}", f"a{ad}|a{ad + 1}"])  # Padded with none, one or two.
        lines.append(f"{click},{draw.choice([0.5, 1, 2])},{draw.choice(['', f'u{user}'])},{seen},a{ad},{hour}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Prepared]:
    return prepared_days(tmp_path_factory.mktemp("days"), SCHEMA, day_of, 2)


def build(prepared: Prepared, **changed) -> tf.keras.Model:
    return wide_deep(prepared.index, **{"dim": 2, "hidden": (4,), "click_rates": 5.0, **changed})


def table(model: tf.keras.Model) -> np.ndarray:
    (layer,) = [layer for layer in model.layers if isinstance(layer, ClickCounts)]
    return layer.table.numpy().reshape(layer.layout.rows, layer.folds, 2)


def by_hand(prepared: Prepared, folds: int = 4) -> dict[tuple[str, int, int], np.ndarray]:
    """Weighted clicks and others of each field's rows in each fold, impression by impression."""
    found: dict[tuple[str, int, int], np.ndarray] = defaultdict(lambda: np.zeros(2))
    arrays = prepared.train.arrays()
    fold = fold_of([tf.constant(arrays["ids"])], folds).numpy()
    for ids, label, weight, own in zip(arrays["ids"], arrays["label"], arrays["weight"], fold, strict=True):
        for field in prepared.index.fields:
            for row in ids[field.start : field.start + field.length]:
                if field.name != "seen" or row != 0:  # Padding.
                    found[field.name, int(row), int(own)] += [weight[0] * label[0], weight[0] * (1 - label[0])]
    return found


def assert_counted(model: tf.keras.Model, prepared: Prepared, expected: dict) -> None:
    counts = table(model)
    (layer,) = [layer for layer in model.layers if isinstance(layer, ClickCounts)]
    assert sum(values.sum() for values in expected.values()) > 0
    for place in (*layer.layout.user, *layer.layout.item):
        field = prepared.index[place.name]
        for row in range(field.rows):
            for fold in range(layer.folds):
                truth = expected.get((field.name, row, fold), np.zeros(2))
                np.testing.assert_allclose(counts[place.offset + row, fold], truth, rtol=1e-5)


def opts(**changes):
    return options(**{"batch_size": 64, "evaluate_every": 4, "max_steps": 3, **changes})


def test_weights_sequences_and_folds_are_counted_as_row_by_row(days) -> None:
    model = build(days[0])
    for _ in range(2):  # Counting again starts over.
        count_clicks(model, days[0].index, days[0].train)
    assert_counted(model, days[0], by_hand(days[0]))
    arrays = days[0].train.arrays()
    rate = np.average(arrays["label"], weights=arrays["weight"])
    assert float(model.get_layer("click_rates").base) == pytest.approx(np.log(rate / (1 - rate)), abs=0.005)


def test_training_counts_before_its_first_step_and_once(days, tmp_path) -> None:
    first = build(days[0])
    train(first, days[0], tmp_path, options=opts())
    again = build(days[0])
    result = train(again, days[0], tmp_path, options=opts(max_steps=6))
    assert result.resumed_from == 3
    for model in (first, again):
        assert_counted(model, days[0], by_hand(days[0]))


def test_a_run_that_starts_from_another_counts_on_and_its_new_values_from_zero(days, tmp_path) -> None:
    train(build(days[0]), days[0], tmp_path / "0", options=opts())
    model = build(days[1])
    train(model, days[1], tmp_path / "1", options=opts(warm_start=tmp_path / "0"))
    expected = by_hand(days[1])
    for key, values in by_hand(days[0]).items():
        expected[key] = expected[key] + values
    assert_counted(model, days[1], expected)


def test_carried_over_without_training_new_values_have_the_rates_they_had(days, tmp_path) -> None:
    trained = build(days[0])
    train(trained, days[0], tmp_path, options=opts())
    model = build(days[1])
    carry_over(model, tmp_path, days[1].index)
    rows = [{"user": "u21", "seen": "a5|a6", "ad": "a33", "hour": "3"}, {"user": "u2", "ad": "a1", "hour": ""}]
    before, after = trained(days[0].index.ids(rows)), model(days[1].index.ids(rows))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_rare_values_do_not_tell_the_model_its_labels(tmp_path) -> None:
    """Labels by chance, values seen thrice: rates with a row's own label would foretell it."""
    draw = np.random.default_rng(0)
    lines = [f"{int(draw.random() < 0.3)},v{draw.integers(700)},w{draw.integers(90)}" for _ in range(2000)]
    (tmp_path / "log.csv").write_text("click,v,w\n" + "\n".join(lines) + "\n", encoding="utf-8")
    features = {name: {"kind": "categorical"} for name in "vw"}
    schema = Schema.from_dict({"label": "click", "features": features})
    prepared = prepare(schema, tmp_path / "log.csv", tmp_path / "work")
    model = build(prepared)
    count_clicks(model, prepared.index, prepared.train)
    arrays = prepared.train.arrays()
    sides = tf.keras.Model(model.inputs, model.get_layer("click_rates").output)
    told = {mode: sides(arrays["ids"], training=mode)[1][:, 0, 0].numpy() for mode in (True, False)}
    assert auc(arrays["label"][:, 0], told[False]) > 0.8
    assert auc(arrays["label"][:, 0], told[True]) == pytest.approx(0.5, abs=0.05)


def test_through_the_estimator_rates_foretell_no_label_of_their_own_row(tmp_path) -> None:
    """A network of rates alone, labels by chance: with a row's own label in them it would learn to trust them."""
    draw = np.random.default_rng(1)
    lines = [f"{int(draw.random() < 0.3)},v{draw.integers(600)},w{draw.integers(600)}" for _ in range(2500)]
    (tmp_path / "log.csv").write_text("click,v,w\n" + "\n".join(lines) + "\n", encoding="utf-8")
    schema = Schema.from_dict({"label": "click", "features": {name: {"kind": "categorical"} for name in "vw"}})
    prepared = prepare(schema, tmp_path / "log.csv", tmp_path / "work")
    inputs = Inputs(prepared.index)
    rates = ClickRates(1.0)([*ClickCounts(prepared.index)(inputs), *inputs.sides])
    trust = tf.keras.layers.Dense(1, kernel_initializer="zeros", name="trust")
    ctr = ClickProbability(0.3, name="ctr")(trust(SidedConcat()(rates)[1]))
    model = tf.keras.Model(inputs.ids, ctr)
    many = opts(max_steps=None, epochs=6, dense_learning_rate=0.05)
    train(model, prepared, tmp_path / "run", options=many)
    assert np.abs(trust.kernel.numpy()).max() < 0.3
    ids, labels = (prepared.train.arrays()[name] for name in ("ids", "label"))
    leaking = tf.keras.Model(inputs.ids, SidedConcat()(rates)[1])(ids, training=False).numpy()
    assert np.linalg.lstsq(leaking, labels - labels.mean(), rcond=None)[0].max() > 0.1


def test_tables_far_larger_than_a_batch_are_counted_as_others(days, monkeypatch) -> None:
    dense, sparse = build(days[0]), build(days[0])
    count_clicks(dense, days[0].index, days[0].train)
    monkeypatch.setattr(click_counts, "DENSE", 0)
    count_clicks(sparse, days[0].index, days[0].train)
    np.testing.assert_allclose(table(sparse), table(dense), rtol=1e-6)


def test_records_of_another_index_are_refused(days) -> None:
    with pytest.raises(IndexMismatchError, match=r"made with index .*clicks would count for unrelated values"):
        count_clicks(build(days[1]), days[1].index, days[0].train)


def test_a_model_without_rates_reads_nothing(days) -> None:
    model = build(days[0], click_rates=0.0)
    before = model.get_weights()
    count_clicks(model, days[0].index, None)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
