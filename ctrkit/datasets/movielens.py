"""MovieLens-1M: does a user like a movie, given what the user liked and disliked before?"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ctrkit.datasets.catalogue import MOVIELENS
from ctrkit.datasets.rating_histories import check_options, with_histories
from ctrkit.datasets.sources import built_log, find_file, undecodable

FILE_NAME = "log.parquet"
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
    check_options(history, unseen)
    ratings, users, movies = (find_file(MOVIELENS, place, source) for place in range(3))

    def write(folder: Path) -> None:
        rows = _ratings(ratings)
        rows = rows.join(_users(users), on="user_id", how="left", maintain_order="left")
        rows = rows.join(_movies(movies), on="movie_id", how="left", maintain_order="left")
        with_histories(rows, history, unseen).write_parquet(folder / FILE_NAME)

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
