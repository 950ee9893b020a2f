"""Each finding is planted in a clean log and found; the clean log has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ctrkit.doctor import DoctorOptions, examine, findings_of
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema

DAYS, ROWS = 7, 7_000
SCHEMA: dict[str, Any] = {
    "label": "click",
    "time": "time",
    "group": "user",
    "features": {
        "user": {"kind": "categorical", "side": "user"},
        "history": {"kind": "sequence", "of": "ad", "max_length": 3, "side": "user"},
        "weekday": {"kind": "categorical", "side": "context"},
        "ad": {"kind": "categorical"},
        "site": {"kind": "hashed", "buckets": 20},
        "price": {"kind": "numeric", "quantiles": 8},
        "user_x_ad": {"kind": "cross", "of": ["user", "ad"], "buckets": 50},
    },
}


def clean() -> pl.DataFrame:
    """Seven days of the same: users, ads and prices that matter, and a weekday that is one value a day."""
    draw = np.random.default_rng(0)
    users, ads = draw.zipf(1.4, ROWS) % 80, draw.integers(0, 30, ROWS)
    day = np.arange(ROWS) * DAYS // ROWS
    price = draw.lognormal(size=ROWS)
    rate = 1 / (1 + np.exp(1.4 - 0.8 * (ads % 3 == 0) - 0.5 * (users % 2) + 0.2 * price))
    return pl.DataFrame(
        {
            "time": 1_704_067_200 + day * 86_400 + draw.integers(0, 86_400, ROWS),
            "user": [f"u{user}" for user in users],
            "history": [f"ad{a}|ad{b}" for a, b in draw.integers(0, 30, (ROWS, 2)).tolist()],
            "weekday": [f"day{one}" for one in day],
            "ad": [f"ad{ad}" for ad in ads],
            "site": [f"s{site}" for site in draw.integers(0, 15, ROWS)],
            "price": price.round(4),
            "click": (draw.random(ROWS) < rate).astype(int),
            "later": day >= 4,
            "day": day,
        }
    )


def found(log: pl.DataFrame, folder: Path, **more: Any) -> dict[str, set[str | None]]:
    """Findings as the features by check."""
    log.drop("later", "day").write_csv(folder / "log.csv")
    options = DoctorOptions(**more.pop("options", {}))
    facts = examine(Schema.from_dict({**SCHEMA, **more.pop("schema", {})}), [folder / "log.csv"], options, **more)
    told: dict[str, set[str | None]] = {}
    for one in findings_of(facts, options):
        told.setdefault(one.check, set()).add(one.feature)
        assert one.value > one.threshold or one.check == "constant"
    return told


def put(**columns: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda log: log.with_columns(**columns)


LATER, SOME_DAY = pl.col("later"), pl.col("day") == 5
NUMBER = pl.int_range(pl.len())
PLANTED = {
    "constant": ({"site"}, put(site=pl.lit("s"))),
    "constant, as nothing is there": ({"price"}, put(price=pl.lit(None, pl.Float64))),
    "unique": ({"user"}, put(user=pl.format("r{}", NUMBER))),
    "leak": ({"site"}, put(site=pl.format("s{}-{}", "click", NUMBER % 5))),
    "leak of a number": ({"price"}, put(price=pl.col("click") * 3 + pl.col("price") / 100)),
    "missing": ({"ad"}, put(ad=pl.when(NUMBER % 3 > 0).then(None).otherwise(pl.col("ad")))),
    "missing_jump": ({"site"}, put(site=pl.when(SOME_DAY & (NUMBER % 2 == 0)).then(None).otherwise(pl.col("site")))),
    "drift": ({"ad"}, put(ad=pl.when(LATER).then(pl.lit("ad") + (NUMBER % 4).cast(pl.String)).otherwise(pl.col("ad")))),
    "drift of a number": ({"price"}, put(price=pl.when(LATER).then(pl.col("price") * 4).otherwise(pl.col("price")))),
    "unseen": ({"user"}, put(user=pl.when(LATER).then(pl.format("{}-{}", "user", "day")).otherwise(pl.col("user")))),
    "label_rate": ({None}, put(click=pl.when(SOME_DAY & (NUMBER % 5 > 0)).then(0).otherwise(pl.col("click")))),
    "duplicates": ({None}, lambda log: pl.concat([log, log[:300]])),
}


def test_a_clean_log_has_no_finding(tmp_path: Path) -> None:
    assert found(clean(), tmp_path) == {}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found_where_it_is(planted: str, tmp_path: Path) -> None:
    features, plant = PLANTED[planted]
    check = planted.split(" of ")[0].split(",")[0]
    told = found(plant(clean()), tmp_path)
    assert told.pop(check) == features
    beside = {name for names in told.values() for name in names}
    assert beside <= features  # New users drift and grow, too; nothing is said of others.


def test_growth_is_of_values_that_come_up_late_however_rare(tmp_path: Path) -> None:
    rare = pl.when(LATER & (NUMBER % 10 == 0)).then(pl.format("new{}", NUMBER)).otherwise(pl.col("ad"))
    assert found(clean().with_columns(ad=rare), tmp_path) == {"growth": {"ad"}}


def test_a_threshold_of_null_and_an_ignored_feature_are_silent(tmp_path: Path) -> None:
    log = PLANTED["leak"][1](clean())
    assert found(log, tmp_path, options={"leak": None}) == {}
    assert found(log, tmp_path, options={"ignore": ("site",)}) == {}


def test_with_an_index_what_it_does_not_know_is_found_by_day(tmp_path: Path) -> None:
    schema = Schema.from_dict(SCHEMA)
    known = {"user": [f"u{n}" for n in range(80)], "weekday": [f"day{n}" for n in range(7)]}
    known["ad"] = [f"ad{n}" for n in range(20)]  # Of 30.
    vocabularies = {name: Vocabulary.of(values, [1] * len(values)) for name, values in known.items()}
    index = FeatureIndex(schema, vocabularies, {"price": [1.0]})
    assert found(clean(), tmp_path, index=index) == {"oov": {"ad", "history"}}
    other = pl.when(SOME_DAY).then(pl.lit("odd")).otherwise(pl.col("user"))
    assert found(clean().with_columns(user=other), tmp_path, index=index)["oov_jump"] == {"user"}


@pytest.mark.parametrize(
    "spelled",
    [
        pl.from_epoch("time"),
        pl.from_epoch("time").dt.date(),
        pl.col("time") * 1000,
        pl.from_epoch("time").dt.strftime("%Y%m%d").cast(pl.Int64),
    ],
)
def test_days_are_known_however_a_time_is_spelled(spelled: pl.Expr, tmp_path: Path) -> None:
    clean().with_columns(time=spelled).drop("later", "day").write_csv(tmp_path / "log.csv")
    periods = examine(Schema.from_dict(SCHEMA), [tmp_path / "log.csv"])["periods"]
    assert (periods["rows"], periods["are_days"]) == ([1_000] * 7, True)
    assert periods["names"][0].replace("-", "") == "20240101"
    assert periods["cut"] == 4  # Half of the rows lie within the fourth day, which is still of the earlier ones.


def test_without_a_time_the_log_is_cut_into_stretches(tmp_path: Path) -> None:
    clean().drop("later", "day").write_csv(tmp_path / "log.csv")
    facts = examine(Schema.from_dict({**SCHEMA, "time": None}), [tmp_path / "log.csv"])
    assert facts["periods"]["why_no_days"] == "the schema names no time column"
    assert sum(facts["periods"]["rows"]) == ROWS


def test_facts_are_those_of_plain_counting(tmp_path: Path) -> None:
    log = clean().with_columns(ad=pl.when(NUMBER % 7 == 0).then(None).otherwise(pl.col("ad")))
    log.drop("later", "day").write_csv(tmp_path / "log.csv")
    facts = examine(Schema.from_dict(SCHEMA), [tmp_path / "log.csv"])
    ad, user = facts["features"]["ad"], facts["features"]["user"]
    assert ad["missing"] == pytest.approx(1_000 / ROWS)
    assert (ad["distinct"], user["distinct"]) == (30, log["user"].n_unique())
    assert facts["label"]["by_period"] == pytest.approx(
        log.group_by("day").agg(pl.col("click").mean()).sort("day")["click"]
    )
    seen: set[str] = set()
    for day, share in enumerate(user["unseen_by_period"]):
        users = log.filter(pl.col("day") == day)["user"].to_list()
        assert share == pytest.approx(np.mean([one not in seen for one in users]))
        seen |= set(users)
