"""MovieLens-20M: ratings.csv joined with movies.csv, users by the hundred thousand ratings, with their histories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from ctrkit.datasets.catalogue import MOVIELENS_20M
from ctrkit.datasets.rating_histories import check_options, with_histories
from ctrkit.datasets.sources import built_log, find_file, undecodable
from ctrkit.datasets.streams import BLOCK, text_frames, write_log

FILE_NAME = "log.parquet"
NO_GENRES = "(no genres listed)"
_TYPES = {"userId": pa.int64(), "movieId": pa.int64(), "rating": pa.float64(), "timestamp": pa.int64()}


def build(
    *,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    history: int = 30,
    unseen: float = 0.0,
    block: int = BLOCK,
) -> Path:
    """Write `out/log.parquet` with the columns, options and errors of `ctrkit.datasets.movielens.build`.

    There is nothing about the users but their ratings. `block` is the bytes of ratings.csv that are worked on at once;
    the users in it are written whole, so that memory is bounded however many there are. ratings.csv must be sorted by
    user, as it is published. Source: Harper and Konstan, "The MovieLens Datasets", ACM TiiS 2015.
    """
    check_options(history, unseen)
    ratings, movies = (find_file(MOVIELENS_20M, place, source) for place in range(2))

    def write(folder: Path) -> None:
        films = _movies(movies)
        frames = (
            with_histories(rows.join(films, on="movie_id", how="left", maintain_order="left"), history, unseen)
            for rows in _users(ratings, block)
        )
        write_log(folder / FILE_NAME, frames, label="movielens_20m")

    sources, options = (ratings, movies), {"history": history, "unseen": unseen}
    return built_log("movielens_20m", out, file_name=FILE_NAME, options=options, sources=sources, write=write)


def _users(path: Path, block: int) -> Iterator[pl.DataFrame]:
    """The ratings of some users at a time, each user's in the order of time."""
    rest: pl.DataFrame | None = None
    for frame in text_frames(path, separator=",", types=_TYPES, block=block):
        if list(frame.columns) != list(_TYPES):
            raise undecodable(path, ValueError(f"columns {', '.join(frame.columns)}, expected {', '.join(_TYPES)}"))
        rows = frame if rest is None else pl.concat([rest, frame])
        if not rows["userId"].is_sorted():
            raise undecodable(path, ValueError("it is not sorted by userId, as it is published"))
        last = rows["userId"] == rows["userId"][-1]
        if not last.all():
            yield _in_time(rows.filter(~last))
        rest = rows.filter(last)
    if rest is not None:
        yield _in_time(rest)


def _in_time(rows: pl.DataFrame) -> pl.DataFrame:
    sorted_rows = rows.sort("userId", "timestamp", maintain_order=True)
    return sorted_rows.select(user_id="userId", movie_id="movieId", rating="rating", time="timestamp")


def _movies(path: Path) -> pl.DataFrame:
    raw = pl.concat(list(text_frames(path, separator=",", quoted=True)))
    if raw.columns != ["movieId", "title", "genres"]:
        raise undecodable(path, ValueError(f"columns {', '.join(raw.columns)}, expected movieId, title, genres"))
    genres = pl.when(pl.col("genres") == NO_GENRES).then(None).otherwise(pl.col("genres"))
    return raw.select(
        pl.col("movieId").cast(pl.Int64).alias("movie_id"),
        pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int64).alias("year"),
        genres.str.split("|").alias("genres"),
    ).with_columns(pl.col("genres").list.first().alias("genre"))
