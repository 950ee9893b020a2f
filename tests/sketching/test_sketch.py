"""What a log is taken for: label, time, user, kinds and sides, and what is left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from ctrkit.errors import LogError, SchemaError
from ctrkit.schema import Categorical, Hashed, Numeric, Schema, Sequence
from ctrkit.sketching import Sketch, sketch_schema
from tests.sketching.logs import ROWS, WAYS, clicks


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Sketch:
    path = tmp_path_factory.mktemp("log") / "clicks.csv"
    clicks().write_csv(path)
    return sketch_schema(path)


def test_label_time_and_user_are_found(sketch: Sketch) -> None:
    schema = sketch.schema
    assert (str(schema.label), schema.time, schema.group) == ("clicked", "ts", "user_id")
    assert sketch.rows == ROWS
    assert sketch.click_rate == pytest.approx(clicks()["clicked"].mean())


def test_every_column_becomes_the_feature_that_it_is(sketch: Sketch) -> None:
    found = {f.name: (type(f), f.side) for f in sketch.schema.features}
    assert found == {
        "user_id": (Categorical, "user"),
        "country": (Categorical, "user"),  # Each user has one: no name says so.
        "hour": (Categorical, "context"),
        "ad_id": (Categorical, "item"),
        "price": (Numeric, "item"),
        "seen_ads": (Sequence, "user"),
    }
    seen = sketch.schema["seen_ads"]
    assert isinstance(seen, Sequence)
    assert (seen.of, seen.max_length) == ("ad_id", 3)


def test_what_would_mislead_is_left_out_with_its_reason(sketch: Sketch) -> None:
    assert set(sketch.left_out) == {"ts", "request_id", "currency", "revenue"}
    assert "value of its own" in sketch.left_out["request_id"]
    assert "always 'EUR'" in sketch.left_out["currency"]
    assert "known before the click?" in sketch.left_out["revenue"]
    assert "#   revenue: tells the label by itself" in sketch.text


def test_every_line_says_why(sketch: Sketch) -> None:
    lines = sketch.text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith((" ", "format", "label", "group", "time")) and not line.startswith("  #"):
            assert "# " in line or lines[number - 1].lstrip().startswith("#"), line


def test_the_text_is_the_schema(sketch: Sketch) -> None:
    assert Schema.from_dict(yaml.safe_load(sketch.text)) == sketch.schema


@pytest.mark.parametrize("name", WAYS)
def test_every_layout_is_seen(name: str, tmp_path: Path) -> None:
    frame = clicks()
    WAYS[name](frame, tmp_path / name)
    packed = tmp_path / f"{name}.gz"
    paths = [tmp_path / name]
    if not name.endswith("parquet"):
        packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        paths.append(packed)
    for path in paths:
        found = sketch_schema(path)
        if name == "bare.csv":
            assert found.schema.format.columns == tuple(f"column_{i}" for i in range(1, frame.width + 1))
            assert found.schema.label.column == f"column_{frame.width}"
            assert found.schema.time == "column_2"
        else:
            assert (found.schema.label.column, found.schema.time) == ("clicked", "ts")
            assert {f.name for f in found.schema.features} >= {"user_id", "ad_id", "price"}


@pytest.mark.parametrize(
    ("column", "values", "rule", "positive"),
    [
        ("rating", [1, 2, 3, 4, 5], "rating >= 3", lambda v: v >= 3),
        ("is_click", ["true", "false"], "is_click == 'true'", lambda v: v == "true"),
        ("event_type", ["view", "click", "hide"], "event_type in [click]", lambda v: v == "click"),
        ("outcome", ["no sale", "sale"], None, None),
    ],
)
def test_a_label_that_is_no_number_gets_a_rule(column: str, values: list, rule: str | None, positive, tmp_path) -> None:  # type: ignore[no-untyped-def]
    frame = clicks().drop("clicked", "revenue")
    labels = pl.Series(column, [values[i % len(values)] for i in range(ROWS)])
    frame.with_columns(labels).write_csv(tmp_path / "log.csv")
    found = sketch_schema(tmp_path / "log.csv")
    assert found.schema.label.column == column
    if rule is not None:
        assert str(found.schema.label) == rule
        assert found.click_rate == pytest.approx(np.mean([positive(v) for v in labels]))


def test_what_is_given_is_not_guessed(tmp_path: Path) -> None:
    clicks().write_csv(tmp_path / "log.csv")
    found = sketch_schema(tmp_path / "log.csv", label="price >= 5", group="country", time="hour").schema
    assert (str(found.label), found.group, found.time) == ("price >= 5", "country", "hour")
    with pytest.raises(SchemaError, match=r"label=cliked: the log has no such column\. Did you mean 'clicked'\?"):
        sketch_schema(tmp_path / "log.csv", label="cliked")


def test_more_values_than_a_vocabulary_should_have_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrkit.sketching.kinds.HUGE", 250)
    clicks().write_csv(tmp_path / "log.csv")
    assert isinstance(sketch_schema(tmp_path / "log.csv").schema["user_id"], Hashed)


def test_lists_without_a_column_of_single_values_share_a_hashed_table(tmp_path: Path) -> None:
    genres = [["drama", "war", "crime"][: 1 + i % 3] for i in range(ROWS)]
    clicks().with_columns(pl.Series("genres", [";".join(g) for g in genres])).write_csv(tmp_path / "log.csv")
    found = sketch_schema(tmp_path / "log.csv").schema["genres"]
    assert isinstance(found, Sequence)
    assert (found.of, found.separator) == ("genres_together", ";")


def test_spellings_of_no_value_are_found(tmp_path: Path) -> None:
    frame = clicks().with_columns(
        pl.when(pl.col("hour") == 3).then(pl.lit("\\N")).otherwise(pl.col("price").cast(pl.String)).alias("price")
    )
    frame.write_csv(tmp_path / "log.csv")
    found = sketch_schema(tmp_path / "log.csv").schema
    assert found.format.missing == ("", "\\N")
    assert isinstance(found["price"], Numeric)


def test_names_that_no_feature_may_have_point_at_their_column(tmp_path: Path) -> None:
    clicks().rename({"price": "Price (EUR)"}).write_csv(tmp_path / "log.csv")
    found = sketch_schema(tmp_path / "log.csv").schema["Price_EUR"]
    assert isinstance(found, Numeric)
    assert found.column == "Price (EUR)"


def test_a_weight_is_known_by_its_name_and_has_to_be_one(tmp_path: Path) -> None:
    for low, wanted in ((0.5, "sample_weight"), (-0.5, None)):
        weights = pl.Series("sample_weight", np.linspace(low, 2, ROWS).round(1))
        clicks().with_columns(weights).write_csv(tmp_path / "log.csv")
        assert sketch_schema(tmp_path / "log.csv").schema.weight == wanted


def test_lists_and_records_of_parquet(tmp_path: Path) -> None:
    frame = clicks().with_columns(
        pl.col("seen_ads").str.split("|"),
        pl.struct("user_id", "hour").alias("request"),
        pl.Series("tags", [[f"t{i % 5}"] for i in range(ROWS)]),
        (pl.col("clicked") == 1).alias("clicked"),
    )
    frame.write_parquet(tmp_path / "log.parquet")
    found = sketch_schema(tmp_path / "log.parquet")
    assert isinstance(found.schema["seen_ads"], Sequence)
    assert found.schema["seen_ads"].of == "ad_id"
    assert str(found.schema.label) == "clicked == 'true'"
    assert "a record" in found.left_out["request"]
    assert "no column holds" in found.left_out["tags"]


def test_a_sample_tells_about_the_whole_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctrkit.sketching.sample.MOST_ROWS", 1_500)
    clicks(rows=12_000).write_csv(tmp_path / "log.csv")
    found = sketch_schema(tmp_path / "log.csv")
    assert found.rows == 12_000
    assert "of 12,000 rows" in found.text
    assert (str(found.schema.label), found.schema.time, found.schema.group) == ("clicked", "ts", "user_id")
    assert "request_id" in found.left_out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,b\n", r"has 1 lines, expected a log with many"),
        ("one column\nof free text\nmore\n", r"no separator.*Write the schema by hand"),
        ("1::2::3\n4::5::6\n7::8::9\n", r"'::' have to be replaced"),
        ("a,b\n" + "".join(f"{i},{i * 7}\n" for i in range(99)), r"No column looks like a label.*label=COLUMN"),
    ],
)
def test_a_log_that_tells_nothing_is_refused_with_what_to_do(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(content)
    with pytest.raises(LogError, match=told):
        sketch_schema(tmp_path / "log.csv")
