"""Sizes and traffic of a model's weights come from its shapes and the index's counts."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.layers import FieldEmbeddings, Inputs
from ctrkit.layers.layout import TableLayout
from ctrkit.models import deepfm, wide_deep
from ctrkit.models.parts import click_model
from ctrkit.optimizers import build_optimizer
from ctrkit.records import Split, prepare
from ctrkit.schema import Categorical, Feature, Hashed, Numeric, Schema, Sequence
from ctrkit.training.cluster import WeightShape, describe_weights, items_of, plan, slots_of, weight_shapes

BATCH = 50


def index_of(*features: Feature, counts: tuple[int, ...] = (400, 300, 200, 50), missing: int = 30) -> FeatureIndex:
    return FeatureIndex(
        Schema(label="clicked", features=features),
        {"item": Vocabulary.of([f"v{k}" for k in range(len(counts))], counts)},
        {"age": (18.0, 30.0)},
        {"train_rows": 1000, "features": {"item": {"missing": missing, "out_of_vocabulary": 20}}},
    )


@pytest.fixture(scope="module")
def index() -> FeatureIndex:
    return index_of(
        Categorical(name="item"),
        Numeric(name="age", boundaries=(18.0, 30.0), side="user"),
        Hashed(name="site", buckets=7),
    )


def chance(share: float, draws: int = BATCH) -> float:
    return 1 - (1 - share) ** draws


def test_table_traffic_is_that_of_the_expected_distinct_rows(index: FeatureIndex) -> None:
    (table,) = items_of([("table", (20, 16), True)], index, batch_size=BATCH, table_slots=1, dense_slots=2)
    item = sum(chance(share) for share in (0.03, 0.02, 0.4, 0.3, 0.2, 0.05))
    age, site = 5 * chance(1 / 5), 9 * chance(1 / 9)
    assert table.traffic == pytest.approx((item + age + site) * (8 + 2 * 4 * 16))
    assert table.bytes == 20 * 16 * 4 * 2
    assert table.weight_bytes == 20 * 16 * 4
    assert table.splittable


def test_the_expectation_is_what_drawn_batches_read(index: FeatureIndex) -> None:
    (table,) = items_of([("t", (6, 1), True)], index, batch_size=BATCH, table_slots=0, dense_slots=0)
    random = np.random.default_rng(0)
    shares = [0.03, 0.02, 0.4, 0.3, 0.2, 0.05]
    drawn = [len(np.unique(random.choice(6, BATCH, p=shares))) for _ in range(3000)]
    assert table.traffic / 16 == pytest.approx(np.mean(drawn), rel=0.01)


def test_a_dense_weight_is_moved_whole_both_ways(index: FeatureIndex) -> None:
    kernel, bias, scalar = items_of(
        [("k:0", (10, 6), False), ("b:0", (6,), False), ("s:0", (), False)],
        index,
        batch_size=BATCH,
        table_slots=1,
        dense_slots=2,
    )
    assert (kernel.name, kernel.rows, kernel.bytes, kernel.traffic) == ("k", 10, 10 * 6 * 4 * 3, 2 * 10 * 6 * 4)
    assert (bias.rows, bias.bytes, bias.traffic) == (6, 72, 48)
    assert (scalar.rows, scalar.bytes, scalar.weight) == (1, 12, 2)
    assert not kernel.splittable


def test_a_sequence_draws_from_the_table_that_it_shares() -> None:
    shared = index_of(Categorical(name="item"), Sequence(name="history", of="item", max_length=3, side="user"))
    (table,) = items_of([("t", (6, 1), True)], shared, batch_size=BATCH, table_slots=0, dense_slots=0)
    expected = sum(chance(share, 4 * BATCH) for share in (0.03, 0.02, 0.4, 0.3, 0.2, 0.05))
    assert table.traffic == pytest.approx(16 * expected)


def test_counts_of_a_sequence_are_drawn_apart_from_those_of_its_table() -> None:
    shared = index_of(Categorical(name="item"), Sequence(name="history", of="item", max_length=3, side="user"))
    shapes = weight_shapes(lambda: wide_deep(shared, dim=2, hidden=(3,), click_rates=5.0))
    (counts,) = [one for one in shapes if one.name == "click_counts/table"]
    (item,) = items_of([counts], shared, batch_size=BATCH, table_slots=0, dense_slots=0)
    shares = (0.03, 0.02, 0.4, 0.3, 0.2, 0.05)
    expected = sum(chance(share) + chance(share, 3 * BATCH) for share in shares)
    assert item.traffic == pytest.approx((4 + 8 * 4) * expected)


def test_an_index_without_statistics_goes_by_its_counts() -> None:
    plain = FeatureIndex(
        Schema(label="y", features=(Categorical(name="item"),)), {"item": Vocabulary.of(["a"], [5])}, {}
    )
    (table,) = items_of([("t", (3, 1), True)], plain, batch_size=BATCH, table_slots=0, dense_slots=0)
    assert table.traffic == pytest.approx(16 * 1)


def test_a_table_of_unknown_rows_is_drawn_from_evenly(index: FeatureIndex) -> None:
    table, wrong = items_of(
        [("t", (1000, 1), True), WeightShape(name="w", shape=(12, 1), is_table=True, fields=("item",))],
        index,
        batch_size=BATCH,
        table_slots=0,
        dense_slots=0,
    )
    assert table.traffic == pytest.approx(16 * 1000 * chance(1 / 1000))
    assert wrong.traffic == pytest.approx(16 * 12 * chance(1 / 12))


def test_an_empty_vocabulary_is_no_trouble() -> None:
    empty = FeatureIndex(Schema(label="y", features=(Categorical(name="item"),)), {"item": Vocabulary.of([], [])}, {})
    (table,) = items_of([("t", (2, 1), True)], empty, batch_size=BATCH, table_slots=0, dense_slots=0)
    assert 0 < table.traffic <= 32


def test_shapes_in_a_graph_are_those_of_the_model(index: FeatureIndex) -> None:
    model = deepfm(index, dim=4, hidden=(8, 5))
    shapes = weight_shapes(lambda: deepfm(index, dim=4, hidden=(8, 5)))
    assert shapes == describe_weights(model)
    assert [(one.name, one.shape) for one in shapes] == [
        (weight.name.removesuffix(":0"), tuple(weight.shape)) for weight in model.weights
    ]
    by_name = {one.name: one for one in shapes}
    assert by_name["embeddings/table"].is_table
    assert set(by_name["embeddings/table"].fields or ()) == {"item", "age", "site"}
    assert by_name["hidden_1/kernel"].splittable
    assert not by_name["hidden_1/bias"].splittable
    assert model.predict(np.zeros((2, index.width), "int32"), verbose=0).shape == (2, 1)


def test_a_table_of_some_fields_counts_theirs(index: FeatureIndex) -> None:
    def build() -> tf.keras.Model:
        inputs = Inputs(index)
        _, item = FieldEmbeddings(index, dim=1, fields=["site"], name="some")(inputs)
        return click_model(inputs, [tf.keras.layers.Dense(1)(item[:, 0])], label_rate=None, name="mine")

    (table,) = [one for one in weight_shapes(build) if one.is_table]
    assert table.fields == ("site",)
    (item,) = items_of([table], index, batch_size=BATCH, table_slots=0, dense_slots=0)
    assert item.traffic == pytest.approx(16 * 9 * chance(1 / 9))


def test_a_table_that_never_learns_is_only_read(index: FeatureIndex) -> None:
    shapes = weight_shapes(lambda: wide_deep(index, dim=2, hidden=(3,), click_rates=5.0))
    items = {one.name: one for one in items_of(shapes, index, batch_size=BATCH, table_slots=1, dense_slots=2)}
    learns, counts = items["embeddings/table"], items["click_counts/table"]
    assert (learns.bytes, counts.bytes) == (20 * 2 * 4 * 2, 20 * 8 * 4)
    assert counts.traffic / learns.traffic == pytest.approx((4 + 8 * 4) / (8 + 2 * 2 * 4))
    assert counts.splittable
    assert items["click_rates/base"].slots == 0


def test_a_table_larger_than_memory_is_planned_without_being_made() -> None:
    features = tuple(Hashed(name=f"h{k}", buckets=100_000_000) for k in range(10))
    huge = FeatureIndex(Schema(label="y", features=features), {}, {})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shapes = weight_shapes(lambda: wide_deep(huge, dim=64))
    items = items_of(shapes, huge, batch_size=4096, table_slots=1, dense_slots=2)
    assert sum(item.bytes for item in items) > 5e11
    dealt = plan(items, 64)
    assert max(dealt.imbalance_bytes, dealt.imbalance_traffic) <= 1.05
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB.


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adagrad", {}),
        ("ftrl", {}),
        ("lazy_adam", {}),
        ("sgd", {}),
        ("sgd", {"momentum": 0.9}),
        ("adam", {}),
        ("adam", {"amsgrad": True}),
        ("rmsprop", {}),
        ("rmsprop", {"momentum": 0.5, "centered": True}),
    ],
)
def test_slots_are_those_that_the_optimizer_makes(name: str, options: dict[str, object]) -> None:
    of_table = name in ("adagrad", "ftrl", "lazy_adam", "sgd")
    role = "tables" if of_table else "dense"
    options_of_role = {"table_options": options} if of_table else {"dense_options": options}
    split = build_optimizer(**{role: name}, **options_of_role)  # type: ignore[arg-type]
    weight = tf.Variable(tf.zeros([3, 2]), name="table" if of_table else "kernel")
    split.apply_gradients([(tf.ones([3, 2]), weight)])
    made = [one for one in split.part_of(weight).variables() if one.shape == weight.shape]
    assert slots_of(name, options) == len(made)


def test_expected_traffic_is_that_of_criteos_real_batches(shared_data: Path, tmp_path: Path) -> None:
    schema = Schema.from_yaml(Path(__file__).parents[4] / "conf" / "schema" / "criteo.yaml")
    prepared = prepare(schema, shared_data / "criteo_80k" / "train.tsv.gz", tmp_path, split=Split(by="order"))
    index, batch, parts = prepared.index, 4096, 16
    assert prepared.train is not None
    ids = prepared.train.arrays()["ids"]
    layout = TableLayout.of(index)
    first = np.zeros(index.width, dtype=np.int64)
    for base, places in ((0, layout.user), (index.user_width, layout.item)):
        for place in places:
            first[base + place.start] = place.offset
    distinct = [np.unique(ids[at : at + batch] + first) for at in range(0, len(ids) - batch, batch)]
    real = np.mean([np.bincount(rows % parts, minlength=parts) for rows in distinct], axis=0)
    (table,) = items_of([("t", (layout.rows, 1), True)], index, batch_size=batch, table_slots=0, dense_slots=0)
    assert table.traffic / 16 == pytest.approx(real.sum(), rel=0.03)
    assert table.reads is not None
    np.testing.assert_allclose(table.reads.by_part(parts), real, rtol=0.03)
    assert real.max() / real.mean() < 1.02  # Modulo deals real batches evenly.
