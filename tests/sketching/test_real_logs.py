"""Real logs are taken for what they are, and a sketched schema learns about as well as one written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctrkit
from ctrkit.commands.main import config_folder
from ctrkit.datasets import adult, frappe
from ctrkit.schema import Categorical, Numeric, Schema
from ctrkit.sketching import sketch_schema

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def adult_log(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adult.build(source=shared_data / "adult", out=tmp_path_factory.mktemp("adult"))


def test_criteo_has_no_names_and_its_label_first(shared_data: Path) -> None:
    schema = sketch_schema(shared_data / "criteo_80k" / "train.tsv.gz").schema
    assert (schema.format.kind, str(schema.label), len(schema.features)) == ("tsv", "column_1", 39)
    kinds = [type(feature) for feature in schema.features]
    assert kinds[:13].count(Numeric) == 12  # Of the 13 counts, one has 7 values only.
    assert set(kinds[13:]) == {Categorical}


def test_movielens_has_ratings_of_users_and_movies(shared_data: Path) -> None:
    found = sketch_schema(shared_data / "ml_1m" / "ratings.csv.gz")
    assert (str(found.schema.label), found.schema.group) == ("rating >= 4", "user_id")
    assert found.rows == 1_000_209
    assert {f.name: f.side for f in found.schema.features}.items() >= {("user_id", "user"), ("movie_id", "item")}


def test_frappe_has_users_contexts_and_apps(shared_data: Path, tmp_path: Path) -> None:
    schema = sketch_schema(frappe.build(source=shared_data / "frappe", out=tmp_path)).schema
    by_hand = Schema.from_yaml(config_folder() / "schema" / "frappe.yaml")
    assert (str(schema.label), schema.group) == ("used", "user")
    assert {f.name: (f.kind, f.side) for f in schema.features} == {f.name: (f.kind, f.side) for f in by_hand.features}


def test_adult_as_it_is_published_has_spaces_and_question_marks(shared_data: Path) -> None:
    schema = sketch_schema(shared_data / "adult" / "adult.data.gz").schema
    assert str(schema.label) == "column_15 == ' >50K'"
    assert schema.format.missing == ("", " ?")


@pytest.mark.turn(0)
def test_a_sketched_schema_learns_about_as_well_as_one_written_by_hand(adult_log: Path, tmp_path: Path) -> None:
    schemas = {
        "sketched": sketch_schema(adult_log).schema,
        "by hand": Schema.from_yaml(config_folder() / "schema" / "adult.yaml"),
    }
    assert str(schemas["sketched"].label) == str(schemas["by hand"].label)
    auc = {}
    for name, schema in schemas.items():
        split = ctrkit.Split(by="order", validation=0.1, test=1 / 3)
        data = ctrkit.prepare(schema, adult_log, tmp_path / name, split=split)
        assert data.train is not None
        model = ctrkit.models.wide_deep(data.index, dim=8, hidden=[32], l2=1e-4, label_rate=data.train.label_rate)
        options = ctrkit.TrainingOptions(
            batch_size=256, epochs=2, table_options={"initial_accumulator_value": 1e-5}, early_stopping="log_loss"
        )
        ctrkit.train(model, data, tmp_path / name / "run", options=options)
        auc[name] = ctrkit.evaluate(model, data.test).metrics["auc"]
    assert auc["by hand"] > 0.92
    assert auc["sketched"] > auc["by hand"] - 0.005
