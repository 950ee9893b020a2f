"""MovieLens-100K: u.data, u.user and u.item joined, with the histories of MovieLens-1M."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import polars as pl

from ctrkit.datasets.catalogue import MOVIELENS_100K
from ctrkit.datasets.rating_histories import check_options, with_histories
from ctrkit.datasets.sources import built_log, find_file, undecodable

FILE_NAME = "log.parquet"
GENRES = (  # In the order of the flags in u.item, which u.genre lists.
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def build(
    *, source: str | os.PathLike[str], out: str | os.PathLike[str], history: int = 30, unseen: float = 0.0
) -> Path:
    """Write `out/log.parquet` with the columns, options and errors of `ctrkit.datasets.movielens.build`.

    `occupation` is a word here. Source: Harper and Konstan, "The MovieLens Datasets", ACM TiiS 2015.
    """
    check_options(history, unseen)
    ratings, users, movies = (find_file(MOVIELENS_100K, place, source) for place in range(3))

    def write(folder: Path) -> None:
        numbers = ["user_id", "movie_id", "rating", "time"]
        rows = _table(ratings, numbers, "\t").with_columns(pl.col(numbers).cast(pl.Int64))
        rows = rows.sort("user_id", "time", maintain_order=True).drop("time")
        people = _table(users, ["user_id", "age", "gender", "occupation", "zip"], "|").select(
            pl.col("user_id", "age").cast(pl.Int64), "gender", "occupation", pl.col("zip").str.head(2).alias("region")
        )
        rows = rows.join(people, on="user_id", how="left", maintain_order="left")
        rows = rows.join(_movies(movies), on="movie_id", how="left", maintain_order="left")
        with_histories(rows, history, unseen).write_parquet(folder / FILE_NAME)

    sources, options = (ratings, users, movies), {"history": history, "unseen": unseen}
    return built_log("movielens_100k", out, file_name=FILE_NAME, options=options, sources=sources, write=write)


def _movies(path: Path) -> pl.DataFrame:
    raw = _table(path, ["movie_id", "title", "released", "video", "url", *(f"g{i}" for i in range(len(GENRES)))], "|")
    flags = [pl.when(pl.col(f"g{i}") == "1").then(pl.lit(genre)) for i, genre in enumerate(GENRES)]
    return raw.select(
        pl.col("movie_id").cast(pl.Int64),
        pl.col("released").str.tail(4).cast(pl.Int64, strict=False).alias("year"),
        pl.concat_list(flags).list.drop_nulls().alias("genres"),
    ).with_columns(pl.col("genres").list.first().alias("genre"))


def _table(path: Path, names: list[str], separator: str) -> pl.DataFrame:
    """A small table without a header, in Latin-1, as GroupLens publishes it, or UTF-8."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        table = pl.read_csv(text.encode(), separator=separator, has_header=False, infer_schema=False, quote_char=None)
        if table.width != len(names):
            raise pl.exceptions.ShapeError(f"{table.width} columns, expected {len(names)}: {', '.join(names)}")
        return table.rename(dict(zip(table.columns, names, strict=True)))
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise undecodable(path, error) from error
