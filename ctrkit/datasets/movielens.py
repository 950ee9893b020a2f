"""MovieLens-1M: does a user like a movie, given what the user liked and disliked before?"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ctrkit.datasets.click_history import EMPTY, ClickHistory
from ctrkit.datasets.sources import built_log, find_source, undecodable
from ctrkit.errors import ConfigError

DOWNLOAD = "https://grouplens.org/datasets/movielens/1m/"
FILE_NAME = "log.parquet"
LIKED = 4  # Stars from which a rating counts as a like in the histories; the schema's label says the same.
POSITION = "seq_pos"  # Order within the user; ratings.dat has the time in its place.


def build(
    *, source: str | os.PathLike[str], out: str | os.PathLike[str], history: int = 30, unseen: float = 0.0
) -> Path:
    """Write `out/log.parquet`: a row a rating, each user's in the order of time, joined with the user and the movie.

    All histories are of strictly earlier rows of the same user, so a row tells nothing about itself or later ones:
    `liked_movies` and `disliked_movies` (the last `history` of each, oldest first), `earlier` (ratings so far),
    `earlier_likes` (share of likes so far, shrunk towards 0.6 by 5 ratings), `recent_likes` (share among the last 10)
    and `genre_likes` (share of likes so far among movies of this movie's genres, shrunk towards `earlier_likes`).

    `unseen` is the share of each user's last ratings that no history tells, not even to later ones of them. Give it
    the test part's share (of a split by order within the user): then no label of the test part is an input of it.

    `source` holds users.dat, movies.dat and ratings.dat, or ratings.csv with `user_id,seq_pos,movie_id,rating`.
    Source: Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 2015.

    Raises `ArtifactError` that says where to download the files, `LogError` when one cannot be read, `ConfigError` for
    a `history` below 1 or an `unseen` outside of [0, 1).
    """
    if isinstance(history, bool) or not isinstance(history, int) or history < 1:
        raise ConfigError(f"MovieLens: `history` is {history!r}, expected an integer >= 1.")
    if not 0 <= unseen < 1:
        raise ConfigError(f"MovieLens: `unseen` is {unseen!r}, expected a share of each user's rows such as 0.2.")
    ratings = find_source(source, ["ratings.csv", "ratings.dat"], download=DOWNLOAD)
    users = find_source(source, ["users.dat"], download=DOWNLOAD)
    movies = find_source(source, ["movies.dat"], download=DOWNLOAD)

    def write(folder: Path) -> None:
        rows = _ratings(ratings)
        rows = rows.join(_users(users), on="user_id", how="left", maintain_order="left")
        rows = rows.join(_movies(movies), on="movie_id", how="left", maintain_order="left")
        _with_histories(rows, history, unseen).write_parquet(folder / FILE_NAME)

    sources, options = (ratings, users, movies), {"history": history, "unseen": unseen}
    return built_log("movielens", out, file_name=FILE_NAME, options=options, sources=sources, write=write)


# --- the three files ----------------------------------------------------------------------------------------------


def _ratings(path: Path) -> pl.DataFrame:
    if ".csv" in path.name:
        try:
            rows = pl.read_csv(path).select("user_id", POSITION, "movie_id", "rating")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise undecodable(path, error) from error
    else:
        rows = _double_colons(path, ["user_id", "movie_id", "rating", POSITION]).with_columns(pl.all().cast(pl.Int64))
    return rows.sort("user_id", POSITION, maintain_order=True).drop(POSITION)


def _users(path: Path) -> pl.DataFrame:
    users = _double_colons(path, ["user_id", "gender", "age", "occupation", "zip"])
    return users.with_columns(pl.col("user_id").cast(pl.Int64), pl.col("zip").str.head(2).alias("region")).drop("zip")


def _movies(path: Path) -> pl.DataFrame:
    movies = _double_colons(path, ["movie_id", "title", "genres"])
    return movies.select(
        pl.col("movie_id").cast(pl.Int64),
        pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int64).alias("year"),
        pl.col("genres").str.split("|"),
    ).with_columns(pl.col("genres").list.first().alias("genre"))


def _double_colons(path: Path, names: Sequence[str]) -> pl.DataFrame:
    """Read a file whose columns are separated by `::`, in Latin-1 or UTF-8."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise undecodable(path, error) from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # As GroupLens publishes it.
    lines = pl.Series(text.splitlines()).str.splitn("::", len(names)).struct.rename_fields(list(names))
    frame = lines.struct.unnest()
    if frame[names[-1]].null_count():
        raise undecodable(path, ValueError(f"not every line has {len(names)} parts separated by '::'"))
    return frame


# --- histories ----------------------------------------------------------------------------------------------------


def _with_histories(rows: pl.DataFrame, length: int, unseen: float) -> pl.DataFrame:
    user = rows["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    movie = rows["movie_id"].to_numpy()
    liked = (rows["rating"] >= LIKED).to_numpy()
    first = np.searchsorted(user, user)  # Rows are sorted by user.
    ratings = np.bincount(user)[user]
    known = ratings - (ratings * unseen + 0.5).astype(np.int64)  # Rounded as a split rounds.
    at = np.minimum(np.arange(len(user)), first + known)  # A row's histories are those before this row.
    empty = np.full((user.max() + 1, length), EMPTY, dtype=np.int32)
    return rows.with_columns(
        _lists("liked_movies", ClickHistory(empty).advance(user, movie, liked)[at]),
        _lists("disliked_movies", ClickHistory(empty).advance(user, movie, ~liked)[at]),
        *_shares(first, at, liked, rows["genres"]),
    )


def _lists(name: str, codes: np.ndarray) -> pl.Series:
    lists = pl.Series(name, codes).cast(pl.List(pl.Int32))
    return lists.list.eval(pl.element().filter(pl.element() != EMPTY))


def _shares(first: np.ndarray, at: np.ndarray, liked: np.ndarray, genres: pl.Series) -> list[pl.Series]:
    earlier = at - first
    likes = np.concatenate([[0], np.cumsum(liked)])
    likes_so_far = likes[at] - likes[first]
    share = (likes_so_far + 3.0) / (earlier + 5.0)
    recent = np.maximum(first, at - 10)
    recent_share = (likes[at] - likes[recent] + 2 * share) / (at - recent + 2.0)
    names = genres.explode().unique().drop_nulls().sort()
    has = np.stack([genres.list.contains(name).fill_null(False).to_numpy() for name in names], axis=1)
    seen = np.vstack([np.zeros((1, len(names)), np.int64), np.cumsum(has, axis=0)])
    good = np.vstack([np.zeros((1, len(names)), np.int64), np.cumsum(has & liked[:, None], axis=0)])
    seen_here = ((seen[at] - seen[first]) * has).sum(axis=1)
    good_here = ((good[at] - good[first]) * has).sum(axis=1)
    genre_share = (good_here + 4 * share) / (seen_here + 4.0)
    return [
        pl.Series("earlier", earlier),
        pl.Series("earlier_likes", np.where(earlier > 0, share, np.nan)).fill_nan(None),
        pl.Series("recent_likes", np.where(earlier > 0, recent_share, np.nan)).fill_nan(None),
        pl.Series("genre_likes", np.where(earlier > 0, genre_share, np.nan)).fill_nan(None),
    ]
