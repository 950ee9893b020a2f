"""Small files of the true formats of the public data sets: a generator for each."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.datasets.avazu import COLUMNS as AVAZU_COLUMNS


def lines(path: Path, rows: Iterable[Sequence[Any]], separator: str = "\t", header: Sequence[str] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(separator.join(map(str, row)) + "\n" for row in ([header] if header else []) + list(rows))
    data = text.encode("latin-1" if path.name in ("u.item", "u.user", "movies.dat") else "utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def adult(folder: Path, rows: int = 60) -> None:
    rng = np.random.default_rng(seed=0)
    for name, dot in (("adult.data", ""), ("adult.test", ".")):
        people = []
        for i in range(rows):
            job, income = "?" if i % 9 == 0 else "Sales", ">50K" if i % 3 else "<=50K"
            age, weight, hours = rng.integers(18, 80), rng.integers(100_000), rng.integers(20, 60)
            start = f"{age}, Private, {weight}, Bachelors, 13, Divorced, {job}, Husband, White, Male, 0, 0, {hours}"
            people.append(f"{start}, United-States, {income}{dot}")
        head = ["|1x3 Cross validator"] if dot else []
        (folder / name).write_text("\n".join([*head, *people]) + "\n\n")


def avazu(folder: Path, rows: int = 300) -> None:
    rng = np.random.default_rng(seed=0)
    made = []
    for i in range(rows):
        hour = datetime(2014, 10, 21) + timedelta(hours=i * 240 // rows)
        hashes = [f"{value:08x}" for value in rng.integers(0, 30, 9)]
        ids = [int(value) for value in rng.integers(0, 5, 8)]
        made.append(
            [10**19 + i, int(rng.integers(2)), hour.strftime("%y%m%d%H"), 1005, 0, *hashes, 1, 2, *ids],
        )
    lines(folder / "train.gz", made, ",", AVAZU_COLUMNS)


def criteo(folder: Path, rows: int = 200) -> None:
    rng = np.random.default_rng(seed=0)
    made = []
    for _ in range(rows):
        numbers = ["" if value < 0 else int(value) for value in rng.integers(-2, 50, 13)]
        made.append([int(rng.integers(2)), *numbers, *(f"{value:08x}" for value in rng.integers(0, 9, 26))])
    lines(folder / "train.txt", made)


def frappe(folder: Path, rows: int = 80) -> None:
    rng = np.random.default_rng(seed=0)
    header = [
        "user",
        "item",
        "cnt",
        "daytime",
        "weekday",
        "isweekend",
        "homework",
        "cost",
        "weather",
        "country",
        "city",
    ]
    made = [
        [rng.integers(9), rng.integers(40), 1, "morning", "monday", "workday", "home", "free", "sunny", "Spain", i % 5]
        for i in range(rows)
    ]
    lines(folder / "frappe.csv", made, header=header)


def kdd12(folder: Path, rows: int = 300) -> None:
    rng = np.random.default_rng(seed=0)
    made = []
    for _ in range(rows):
        shown = int(rng.integers(1, 6))
        ids = rng.integers(0, 20, 5)
        position = int(rng.integers(1, 3))
        made.append(
            [int(rng.integers(0, shown + 1)), shown, 14340390157469404125, 100 + ids[0], 50, 2, position]
            + [int(value) for value in ids[1:]]
            + [int(rng.integers(0, 30))]
        )
    lines(folder / "track2" / "training.txt", made)
    for name in ("queryid", "purchasedkeywordid", "titleid", "descriptionid"):
        tokens = [[key, "|".join(str(int(v)) for v in rng.integers(0, 999, rng.integers(1, 5)))] for key in range(19)]
        lines(folder / "track2" / f"{name}_tokensid.txt", tokens if name != "titleid" else tokens[::-1])
    lines(folder / "track2" / "userid_profile.txt", [[key, key % 3, 1 + key % 6] for key in range(1, 25)])


def mind(folder: Path, rows: int = 40) -> None:
    rng = np.random.default_rng(seed=0)
    for part, day in (("train", 9), ("dev", 15)):
        news = [
            [f"N{key}", ["sports", "news"][key % 2], f"sub{key % 4}", 'A "title"', "", "https://x", "[]", '[{"a": 1}]']
            for key in range(0 if part == "train" else 10, 30 if part == "train" else 40)
        ]
        lines(folder / part / "news.tsv", news)
        behaviors = []
        for i in range(rows):
            when = datetime(2019, 11, day, i % 24, 5, 58)
            time = f"{when.month}/{when.day}/{when.year} {when.strftime('%I:%M:%S %p').lstrip('0')}"
            history = " ".join(f"N{key}" for key in rng.integers(10, 30, rng.integers(0, 6)))
            shown = " ".join(f"N{key}-{int(rng.integers(2))}" for key in rng.integers(10, 30, rng.integers(1, 5)))
            behaviors.append([i + 1, f"U{rng.integers(9)}", time, history, shown])
        lines(folder / part / "behaviors.tsv", behaviors)


def _ratings(users: int, movies: int, stars: Sequence[float]) -> list[list[Any]]:
    """Sorted by user, then by movie; times are in no order."""
    rng = np.random.default_rng(seed=0)
    return [
        [user, int(movie), stars[int(rng.integers(len(stars)))], int(rng.integers(8e8, 9e8))]
        for user in range(1, users + 1)
        for movie in np.sort(rng.choice(np.arange(1, movies + 1), size=rng.integers(5, 15), replace=False))
    ]


def movielens(folder: Path) -> None:
    lines(folder / "ml-1m" / "ratings.dat", _ratings(20, 30, [1, 2, 3, 4, 5]), "::")
    lines(folder / "ml-1m" / "users.dat", [[user, "FM"[user % 2], 25, 3, "48067"] for user in range(1, 21)], "::")
    movies = [[movie, f"Café {movie} ({1990 + movie % 9})", "Drama|War"] for movie in range(1, 31)]
    lines(folder / "ml-1m" / "movies.dat", movies, "::")


def movielens_100k(folder: Path) -> None:
    rows = _ratings(20, 30, [1, 2, 3, 4, 5])
    order = np.random.default_rng(seed=1).permutation(len(rows))
    lines(folder / "ml-100k" / "u.data", [rows[place] for place in order])
    people = [[user, 20 + user, "FM"[user % 2], "writer", "T8H1N"] for user in range(1, 21)]
    lines(folder / "ml-100k" / "u.user", people, "|")
    movies = []
    for movie in range(1, 31):
        flags = [int(i == movie % 19 or i == 8) for i in range(19)]
        released = "" if movie == 30 else f"01-Jan-{1980 + movie % 9}"
        movies.append([movie, f'Misérables, "Les" {movie} (1995)', released, "", "http://us.imdb.com/M", *flags])
    lines(folder / "ml-100k" / "u.item", movies, "|")


def movielens_20m(folder: Path, users: int = 40) -> None:
    header = ["userId", "movieId", "rating", "timestamp"]
    lines(folder / "ratings.csv", _ratings(users, 30, [0.5, 3.0, 3.5, 4.0, 5.0]), ",", header)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["movieId", "title", "genres"])
    for movie in range(1, 31):
        genres = "(no genres listed)" if movie == 7 else ["Drama|War", "Comedy"][movie % 2]
        writer.writerow([movie, f'American "President", The ({1990 + movie % 9})', genres])
    (folder / "movies.csv").write_text(out.getvalue(), encoding="utf-8")


def open_bandit(folder: Path, rows: int = 200) -> None:
    rng = np.random.default_rng(seed=0)
    items = 5
    header = ["", "timestamp", "item_id", "position", "click", "propensity_score"]
    header += [f"user_feature_{i}" for i in range(4)] + [f"user-item_affinity_{i}" for i in range(items)]
    made = []
    for i in range(rows):
        time = datetime(2019, 11, 24) + timedelta(minutes=50 * int(rng.integers(rows)))
        user = [f"{value:032x}" for value in rng.integers(0, 4, 4)]
        affinities = [float(value) for value in rng.integers(0, 3, items)]
        item = int(rng.integers(items))
        made.append([i, f"{time}.006155+00:00", item, 1 + i % 3, int(rng.integers(2)), 0.2, *user, *affinities])
    for policy in ("random", "bts"):
        place = folder / "open_bandit_dataset" / policy / "all"
        lines(place / "all.csv", made, ",", header)
        context = [[i, i, -0.5 + i, f"{i:032x}", "b", "c"] for i in range(items)]
        lines(place / "item_context.csv", context, ",", ["", "item_id", *(f"item_feature_{i}" for i in range(4))])


def taobao(folder: Path, rows: int = 400) -> None:
    rng = np.random.default_rng(seed=0)
    made = []
    for _ in range(rows):
        user, item = int(rng.integers(1, 30)), int(rng.integers(1, 50))
        time = int(rng.integers(1_511_539_200, 1_512_316_800)) if rng.random() < 0.98 else -2_134_949_234
        made.append([user, item, item % 7, ["pv", "pv", "pv", "buy", "cart", "fav"][rng.integers(6)], time])
    lines(folder / "UserBehavior.csv", sorted(made, key=lambda row: row[0]), ",")


GENERATORS: dict[str, Callable[[Path], None]] = {
    "adult": adult,
    "avazu": avazu,
    "criteo": criteo,
    "frappe": frappe,
    "kdd12": kdd12,
    "mind": mind,
    "movielens": movielens,
    "movielens_100k": movielens_100k,
    "movielens_20m": movielens_20m,
    "open_bandit": open_bandit,
    "taobao": taobao,
}
