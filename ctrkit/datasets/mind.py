"""MIND: each news that was shown is a row, with the user's earlier clicks and the categories of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ctrkit.datasets.catalogue import MIND
from ctrkit.datasets.sources import built_log, find_file, undecodable
from ctrkit.datasets.streams import BLOCK, text_frames, write_log
from ctrkit.errors import ArtifactError, ConfigError

FILE_NAME = "log.parquet"
BEHAVIORS = ("impression_id", "user_id", "when", "history", "shown")
NEWS = ("news_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")


def build(
    *, source: str | os.PathLike[str], out: str | os.PathLike[str], history: int = 50, block: int = BLOCK
) -> Path:
    """Write `out/log.parquet`: a row for each shown news, those of train first, then those of dev, if it is there.

    `clicked`, `impression_id`, `user_id`, `time` (seconds since 1970, as the log's clock says), `hour`, `weekday`,
    `part` (train or dev), `news_id`, `category` and `subcategory`; `clicked_news` and `clicked_categories` are the last
    `history` clicks that the log tells of the user before the impression, oldest first.

    The news are held in memory (some MB), behaviors are read `block` bytes at a time.
    Source: Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020. Raises `ArtifactError` that says
    where to download the files, `LogError` when one cannot be read, `ConfigError` for a `history` below 1.
    """
    if isinstance(history, bool) or not isinstance(history, int) or history < 1:
        raise ConfigError(f"MIND: `history` is {history!r}, expected an integer >= 1.")
    files = [find_file(MIND, place, source) for place in range(2)]
    try:
        files += [find_file(MIND, place, source) for place in (2, 3)]
    except ArtifactError:
        files = files[:2]  # Train alone will do.

    def write(folder: Path) -> None:
        news = pl.concat([_news(path) for path in files[1::2]]).unique("news_id", keep="first", maintain_order=True)
        frames = (
            rows
            for part, path in zip(("train", "dev"), files[::2], strict=False)
            for rows in _rows(path, part, news, history, block)
        )
        write_log(folder / FILE_NAME, frames, label="mind")

    return built_log("mind", out, file_name=FILE_NAME, options={"history": history}, sources=files, write=write)


def _news(path: Path) -> pl.DataFrame:
    frames = [frame.select(NEWS[:3]) for frame in text_frames(path, separator="\t", columns=NEWS)]
    return pl.concat(frames)


def _rows(path: Path, part: str, news: pl.DataFrame, history: int, block: int) -> Iterator[pl.DataFrame]:
    first = 0
    for frame in text_frames(path, separator="\t", columns=BEHAVIORS, block=block):
        time = pl.col("when").str.to_datetime("%m/%d/%Y %I:%M:%S %p", strict=False)
        users = frame.with_row_index("line", first).select(
            "line",
            "impression_id",
            "user_id",
            time.dt.epoch("s").alias("time"),
            time.dt.hour().cast(pl.Int8).alias("hour"),
            time.dt.weekday().cast(pl.Int8).alias("weekday"),
            pl.col("history").fill_null("").str.split(" ").list.tail(history).alias("clicked_news"),
            pl.col("shown").str.split(" "),
        )
        first += len(frame)
        if users["time"].null_count():
            raise undecodable(path, ValueError("a time is not as 11/15/2019 8:55:22 AM"))
        categories = (
            users.select("line", pl.col("clicked_news"))
            .explode("clicked_news")
            .join(news, left_on="clicked_news", right_on="news_id", how="left", maintain_order="left")
            .group_by("line", maintain_order=True)
            .agg(
                pl.col("clicked_news").filter(pl.col("clicked_news") != ""),
                clicked_categories=pl.col("category").filter(pl.col("clicked_news") != ""),
            )
        )
        rows = (
            users.drop("clicked_news").join(categories, on="line", how="left", maintain_order="left").explode("shown")
        )
        split = rows["shown"].str.splitn("-", 2).struct.rename_fields(["news_id", "clicked"]).struct.unnest()
        rows = rows.drop("shown", "line").with_columns(split["news_id"], split["clicked"].cast(pl.Int8, strict=False))
        if rows["clicked"].null_count():
            raise undecodable(path, ValueError("a shown news is not as N1234-0 or N1234-1 (a test file has no labels)"))
        rows = rows.join(news, on="news_id", how="left", maintain_order="left")
        yield rows.with_columns(part=pl.lit(part))
