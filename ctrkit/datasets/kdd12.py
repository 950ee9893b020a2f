"""KDD Cup 2012, track 2: the training lines, joined with the users' profiles and the words of queries and ads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from ctrkit.datasets.catalogue import KDD12
from ctrkit.datasets.side_table import SideTable
from ctrkit.datasets.sources import built_log, find_file
from ctrkit.datasets.streams import BLOCK, text_frames, write_log

FILE_NAME = "log.parquet"
LINE = (
    *("click", "impression", "display_url", "ad_id", "advertiser_id", "depth", "position", "query_id", "keyword_id"),
    *("title_id", "description_id", "user_id"),
)
NUMBERS = tuple(name for name in LINE if name != "display_url")
WORDS = ("query", "keyword", "title", "description")  # In the order of the catalogue's files, after the profiles.


def build(*, source: str | os.PathLike[str], out: str | os.PathLike[str], block: int = BLOCK) -> Path:
    """Write `out/log.parquet`: each line as one row `clicked` 1 and one row 0, each with its number as `weight`.

    A line counts the impressions and the clicks of a user, an ad and a query in one setting; a row of weight 0 is left
    out. `gender` and `age` come from the profiles, `query_tokens`, `keyword_tokens`, `title_tokens` and
    `description_tokens` (joined by `|`) from the tables of words, `query_token` is the first. A user who is not known
    (UserID 0) is missing.

    The tables are memory-mapped and the lines read `block` bytes at a time, so memory is bounded.
    Source: KDD Cup 2012, track 2. Raises `ArtifactError` that says where to download the files, `LogError` when one
    cannot be read.
    """
    lines, profiles, *tables = (find_file(KDD12, place, source) for place in range(len(KDD12.files)))

    def write(folder: Path) -> None:
        aside = folder / "tables"
        people = SideTable.build(profiles, _keyed(profiles, ["user_id", "gender", "age"], block), aside / "user")
        words = {
            name: SideTable.build(table, _keyed(table, ["id", "tokens"], block), aside / name)
            for name, table in zip(WORDS, tables, strict=True)
        }
        write_log(folder / FILE_NAME, _rows(lines, people, words, block), label="kdd12")
        del people, words
        shutil.rmtree(aside)

    return built_log("kdd12", out, file_name=FILE_NAME, options={}, sources=(lines, profiles, *tables), write=write)


def _keyed(path: Path, names: list[str], block: int) -> Iterator[pl.DataFrame]:
    """The key and the rest of each line, joined by tabs."""
    for frame in text_frames(path, separator="\t", columns=names, types={names[0]: pa.int64()}, block=block):
        yield frame.select(names[0], pl.concat_str([pl.col(n).fill_null("") for n in names[1:]], separator="\t"))


def _rows(lines: Path, people: SideTable, words: dict[str, SideTable], block: int) -> Iterator[pl.DataFrame]:
    types = dict.fromkeys(NUMBERS, pa.int64())
    for frame in text_frames(lines, separator="\t", columns=LINE, types=types, block=block):
        profile = people.texts(frame["user_id"]).str.splitn("\t", 2).struct.rename_fields(["gender", "age"])
        tokens = [table.texts(frame[f"{name}_id"]).alias(f"{name}_tokens") for name, table in words.items()]
        rows = frame.with_columns(
            pl.when(pl.col("user_id") != 0).then(pl.col("user_id")).alias("user_id"),
            profile.struct.field("gender"),
            profile.struct.field("age"),
            *tokens,
        ).with_columns(query_token=pl.col("query_tokens").str.split("|").list.first())
        counts = pl.concat_list("click", pl.col("impression") - pl.col("click"))
        yield (
            rows.with_columns(weight=counts, clicked=pl.lit([1, 0], dtype=pl.List(pl.Int8)))
            .explode("weight", "clicked")
            .filter(pl.col("weight") > 0)
            .drop("click", "impression")
        )
