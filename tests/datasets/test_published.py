"""Data sets built from small files of their true formats; what is joined is reached by another route."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hydra.utils import get_object

from ctrkit.commands.configuration import load_config
from ctrkit.commands.main import choices, config_folder
from ctrkit.commands.prepare import prepare_log
from ctrkit.datasets import avazu, kdd12, mind, movielens_20m, movielens_100k, open_bandit, taobao
from ctrkit.datasets.catalogue import CATALOGUE, entry_of
from ctrkit.datasets.side_table import SideTable
from ctrkit.errors import ArtifactError, ConfigError, LogError
from tests.datasets.published import GENERATORS, lines

MODULES = {
    "avazu": avazu,
    "kdd12": kdd12,
    "mind": mind,
    "movielens_100k": movielens_100k,
    "movielens_20m": movielens_20m,
    "open_bandit": open_bandit,
    "taobao": taobao,
}


def built(name: str, tmp_path: Path, **options: Any) -> pl.DataFrame:
    source = tmp_path / "files"
    if not source.exists():
        source.mkdir()
        GENERATORS[name](source)
    return pl.read_parquet(MODULES[name].build(source=source, out=tmp_path / "log", **options))


def table(path: Path, separator: str = "\t") -> list[list[str]]:
    return [line.split(separator) for line in path.read_text(encoding="latin-1").splitlines()]


@pytest.mark.parametrize("name", GENERATORS)
def test_every_data_set_is_built_and_prepared_by_its_own_configuration(name: str, tmp_path: Path) -> None:
    source = tmp_path / "files"
    source.mkdir()
    GENERATORS[name](source)
    words = [f"schema={name}", f"data={name}", f"data.manual_dir={source}", f"work_dir={tmp_path / 'work'}"]
    prepared = prepare_log(load_config(words))
    assert set(prepared.rows) == {"train", "validation", "test"}
    assert prepared.train is not None
    assert 0 < prepared.train.label_rate < 1
    known = [field.name for field in prepared.index.fields if field.rows > 1 + field.oov]
    assert len(known) > len(prepared.index.fields) / 2  # Some features drop values that are as rare as here.


def test_the_catalogue_and_the_configuration_name_the_same_data_sets() -> None:
    assert set(CATALOGUE) == set(GENERATORS) | {"synthetic"}
    assert set(CATALOGUE) == set(choices("data")) - {"files"}
    assert set(CATALOGUE) <= set(choices("schema"))
    for name in GENERATORS:
        build = yaml.safe_load((config_folder() / "data" / f"{name}.yaml").read_text(encoding="utf-8"))["build"]
        assert build.pop("source") == "${data.manual_dir}"
        target = inspect.signature(get_object(build.pop("_target_"))).parameters
        assert set(build) <= set(target)


def test_every_entry_tells_what_a_person_needs() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert all((entry.title, entry.summary, entry.rows, entry.label, entry.splits, entry.licence, entry.columns))
        if name != "synthetic":
            assert entry.homepage.startswith("https://")
            assert entry.citation.startswith("@")
            assert entry.citation.count("{") == entry.citation.count("}")
            assert entry.files
        for archive in entry.archives:
            assert archive.sha256 is None or len(archive.sha256) == 64
    with pytest.raises(ConfigError, match=r"No data set 'avazoo' in the catalogue\. Did you mean 'avazu'"):
        entry_of("avazoo")


@pytest.mark.parametrize("name", GENERATORS)
def test_an_absent_file_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    build = get_object(f"ctrkit.datasets.{name}.build")
    with pytest.raises(ArtifactError) as caught:
        build(source=tmp_path, out=tmp_path / "log")
    entry = CATALOGUE[name]
    assert entry.files[0].names[0] in str(caught.value)
    assert entry.homepage in str(caught.value)
    assert "data.manual_dir=FOLDER" in str(caught.value)
    (tmp_path / "download.zip").touch()
    with pytest.raises(ArtifactError, match=r"Unpack download\.zip there"):
        build(source=tmp_path, out=tmp_path / "log")


@pytest.mark.parametrize("name", MODULES)
def test_a_log_is_the_same_however_little_is_worked_on_at_once(name: str, tmp_path: Path) -> None:
    whole = built(name, tmp_path)
    if "block" not in inspect.signature(MODULES[name].build).parameters:
        pytest.skip("the file is small, or every row stands for itself")
    small = MODULES[name].build(source=tmp_path / "files", out=tmp_path / "small", block=2_000)
    assert pl.read_parquet(small).equals(whole)


def test_avazu_tells_hour_and_weekday_apart(tmp_path: Path) -> None:
    log = built("avazu", tmp_path)
    assert log["time"][0] == 1_413_849_600  # 2014-10-21 00:00 UTC, a Tuesday.
    assert log["hour_of_day"].to_list() == [int(hour[-2:]) for hour in log["hour"]]
    assert log["weekday"][0] == 2
    assert log["time"].is_sorted()
    assert log["id"][0] == str(10**19)  # Too large for 64 bits.


def test_avazus_test_file_is_refused(tmp_path: Path) -> None:
    columns = [name for name in avazu.COLUMNS if name != "click"]
    lines(tmp_path / "train.gz", [["1"] * len(columns)], ",", columns)
    with pytest.raises(LogError, match=r"columns id, hour, .*expected id, click"):
        avazu.build(source=tmp_path, out=tmp_path / "log")


def test_kdd12_lines_become_weighted_rows_with_words_and_profiles(tmp_path: Path) -> None:
    log = built("kdd12", tmp_path)
    folder = tmp_path / "files" / "track2"
    people = {row[0]: row[1:] for row in table(folder / "userid_profile.txt")}
    words = {
        name: dict(table(folder / f"{file}_tokensid.txt"))
        for name, file in (("query", "queryid"), ("keyword", "purchasedkeywordid"), ("title", "titleid"))
    }
    expected = []
    for line in table(folder / "training.txt"):
        click, shown, user = int(line[0]), int(line[1]), line[11]
        for clicked, weight in ((1, click), (0, shown - click)):
            if weight:
                gender, age = people.get(user, [None, None])
                tokens = [words[name].get(line[at]) for name, at in (("query", 7), ("keyword", 8), ("title", 9))]
                known = None if user == "0" else int(user)
                expected.append((clicked, weight, known, gender, age, *tokens, line[2]))
    columns = ["clicked", "weight", "user_id", "gender", "age", "query_tokens", "keyword_tokens", "title_tokens"]
    assert log.select(*columns, "display_url").rows() == expected
    assert log["query_token"].to_list() == [t and t.split("|")[0] for t in log["query_tokens"].to_list()]
    assert log["user_id"].null_count() > 0
    assert log["gender"].null_count() > 0  # Users without a profile.
    assert [path.name for path in (tmp_path / "log").iterdir() if path.is_dir()] == []


def test_a_side_table_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"key": [3, 1, 3], "text": ["a", "b", "c"]})
    with pytest.raises(LogError, match="a key is there twice"):
        SideTable.build(tmp_path / "t.txt", iter([frame]), tmp_path / "side")


def test_a_side_table_without_rows_knows_nothing(tmp_path: Path) -> None:
    side = SideTable.build(tmp_path / "t.txt", iter([]), tmp_path / "side")
    assert side.texts(pl.Series("key", [1, None])).to_list() == [None, None]


def test_mind_impressions_become_rows_with_histories_and_categories(tmp_path: Path) -> None:
    log = built("mind", tmp_path, history=3)
    news: dict[str, list[str]] = {}
    expected = []
    for part in ("train", "dev"):
        for row in table(tmp_path / "files" / part / "news.tsv"):
            news.setdefault(row[0], row)
    for part in ("train", "dev"):
        for impression, user, _, history, shown in table(tmp_path / "files" / part / "behaviors.tsv"):
            clicked = history.split()[-3:]
            for one in shown.split():
                name, label = one.split("-")
                categories = [news[key][1] for key in clicked]
                expected.append(
                    (part, impression, user, name, int(label), news[name][1], news[name][2], clicked, categories)
                )
    columns = ["part", "impression_id", "user_id", "news_id", "clicked", "category", "subcategory"]
    assert log.select(*columns, "clicked_news", "clicked_categories").rows() == expected
    assert log["time"][0] == 1_573_257_958  # 2019-11-09 00:05:58.
    assert sorted(set(log["hour"])) == list(range(24))


def test_mind_without_dev_is_train_alone_and_a_test_file_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "files"
    GENERATORS["mind"](source)
    (source / "dev" / "news.tsv").unlink()
    log = pl.read_parquet(mind.build(source=source, out=tmp_path / "log"))
    assert set(log["part"]) == {"train"}
    lines(source / "train" / "behaviors.tsv", [[1, "U1", "11/15/2019 8:55:22 AM", "N1", "N2 N3"]])
    with pytest.raises(LogError, match=r"not as N1234-0 or N1234-1 \(a test file has no labels\)"):
        mind.build(source=source, out=tmp_path / "other")


def test_movielens_100k_is_joined_with_users_and_films(tmp_path: Path) -> None:
    log = built("movielens_100k", tmp_path, history=5)
    rows = sorted(table(tmp_path / "files" / "ml-100k" / "u.data"), key=lambda row: (int(row[0]), int(row[3])))
    assert log.select("user_id", "movie_id", "rating").rows() == [(int(u), int(m), int(r)) for u, m, r, _ in rows]
    assert log["occupation"].unique().to_list() == ["writer"]
    assert set(log["region"]) == {"T8"}
    one = log.filter(pl.col("movie_id") == 3).row(0, named=True)
    assert one["genres"] == ["Animation", "Drama"]
    assert one["year"] == 1983
    assert log.filter(pl.col("movie_id") == 30)["year"].null_count() == log.filter(pl.col("movie_id") == 30).height


def test_movielens_20m_histories_are_those_of_each_user_in_time(tmp_path: Path) -> None:
    log = built("movielens_20m", tmp_path, history=4, unseen=0.2)
    with open(tmp_path / "files" / "ratings.csv") as file:
        ratings = [
            (int(r["userId"]), int(r["timestamp"]), int(r["movieId"]), float(r["rating"])) for r in csv.DictReader(file)
        ]
    assert log.select("user_id", "time", "movie_id", "rating").rows() == sorted(ratings)
    for user, own in log.group_by("user_id", maintain_order=True):
        told = len(own) - int(len(own) * 0.2 + 0.5)
        liked: list[int] = []
        for place, row in enumerate(own.iter_rows(named=True)):
            assert row["liked_movies"] == liked[-4:], user
            if row["rating"] >= 4 and place < told:
                liked.append(row["movie_id"])
    assert log.filter(pl.col("movie_id") == 7)["genres"].null_count() == log.filter(pl.col("movie_id") == 7).height


def test_movielens_20m_needs_users_together(tmp_path: Path) -> None:
    GENERATORS["movielens_20m"](tmp_path)
    path = tmp_path / "ratings.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[50:], *rows[:50]]) + "\n")
    with pytest.raises(LogError, match=r"ratings\.csv cannot be read: it is not sorted by userId"):
        movielens_20m.build(source=tmp_path, out=tmp_path / "log", block=500)


def test_open_bandit_takes_the_affinity_of_the_item_that_was_shown(tmp_path: Path) -> None:
    log = built("open_bandit", tmp_path, policy="bts")
    with open(tmp_path / "files" / "open_bandit_dataset" / "bts" / "all" / "all.csv") as file:
        rows = list(csv.DictReader(file))
    assert log["affinity"].to_list() == [float(row[f"user-item_affinity_{row['item_id']}"]) for row in rows]
    assert log["item_feature_0"].to_list() == [-0.5 + int(row["item_id"]) for row in rows]
    assert log["propensity_score"].to_list() == ["0.2"] * len(rows)
    with pytest.raises(ConfigError, match=r"unknown policy 'btss'.*Did you mean 'bts'"):
        built("open_bandit", tmp_path, policy="btss")


@pytest.mark.parametrize("bucket_bytes", [1 << 20, 2_000])
def test_taobao_histories_are_what_the_user_saw_before(tmp_path: Path, bucket_bytes: int) -> None:
    log = built("taobao", tmp_path, history=3, bucket_bytes=bucket_bytes)
    raw = [tuple(row) for row in table(tmp_path / "files" / "UserBehavior.csv", ",")]
    kept = [row for row in raw if int(row[4]) > 0]
    assert len(kept) < len(raw)
    columns = ["user_id", "item_id", "category_id", "behavior", "time"]
    assert sorted(tuple(map(str, row)) for row in log.select(columns).rows()) == sorted(kept)
    for _, rows in log.group_by("user_id", maintain_order=True):
        assert rows["time"].is_sorted()
        for name, column in (("seen_items", "item_id"), ("seen_categories", "category_id")):
            values = rows[column].to_list()
            assert rows[name].to_list() == [values[max(0, i - 3) : i] for i in range(len(values))]
    first = log.filter(pl.col("time") == log["time"].min()).row(0, named=True)
    assert first["weekday"] in (6, 7)  # The nine days begin on a Saturday.
