"""Taobao's user behaviour: does a user do more than look at an item, given what the user looked at before?"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ctrkit.datasets.catalogue import TAOBAO
from ctrkit.datasets.click_history import EMPTY, ClickHistory
from ctrkit.datasets.sources import built_log, find_file, undecodable
from ctrkit.datasets.streams import BLOCK, text_frames, write_log
from ctrkit.errors import ConfigError

FILE_NAME = "log.parquet"
COLUMNS = ("user_id", "item_id", "category_id", "behavior", "time")
BEHAVIORS = ("pv", "buy", "cart", "fav")
CHINA = 8 * 3600  # Seconds east of UTC.
FIRST, LAST = 1_511_539_200, 1_512_316_800  # November 25 and December 4, 2017, midnight in China.
BUCKET_BYTES = 256 << 20  # Of the file, that are worked on at once.


def build(
    *,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    history: int = 20,
    bucket_bytes: int = BUCKET_BYTES,
    block: int = BLOCK,
) -> Path:
    """Write `out/log.parquet`: the behaviours of the nine days, users together, each user's in the order of time.

    `hour` and `weekday` are China's; `seen_items` and `seen_categories` are the user's last `history` items strictly
    before the row, oldest first, whatever the user did with them. Rows of other days, of which the file has some with
    impossible times, are left out.

    Users are dealt out to files of about `bucket_bytes` and worked on file by file, so that memory is bounded and the
    file need not be sorted. Source: Zhu et al., "Learning Tree-based Deep Model for Recommender Systems", KDD 2018.
    Raises `ArtifactError` that says where to download the file, `LogError` when it cannot be read, `ConfigError` for a
    `history` below 1.
    """
    if isinstance(history, bool) or not isinstance(history, int) or history < 1:
        raise ConfigError(f"Taobao: `history` is {history!r}, expected an integer >= 1.")
    log = find_file(TAOBAO, 0, source)

    def write(folder: Path) -> None:
        aside = folder / "buckets"
        aside.mkdir()
        buckets = _deal(log, aside, max(1, -(-log.stat().st_size // bucket_bytes)), block)
        write_log(folder / FILE_NAME, (_with_history(path, history) for path in buckets), label="taobao")
        shutil.rmtree(aside)

    return built_log("taobao", out, file_name=FILE_NAME, options={"history": history}, sources=(log,), write=write)


def _deal(log: Path, folder: Path, buckets: int, block: int) -> list[Path]:
    """Put each user's rows into one of some files, in the order of the log."""
    numbers = dict.fromkeys(("user_id", "item_id", "category_id", "time"), pa.int64())
    writers: dict[int, pq.ParquetWriter] = {}
    paths = [folder / f"{bucket}.parquet" for bucket in range(buckets)]
    try:
        for frame in text_frames(log, separator=",", columns=COLUMNS, types=numbers, block=block):
            if not frame["behavior"].is_in(BEHAVIORS).all() or frame.null_count().sum_horizontal()[0]:
                raise undecodable(
                    log, ValueError(f"a behavior is none of {', '.join(BEHAVIORS)}, or a value is missing")
                )
            rows = frame.filter(pl.col("time").is_between(FIRST, LAST, closed="left"))
            for (bucket,), part in rows.group_by(pl.col("user_id") % buckets, maintain_order=True):
                table = part.to_arrow()
                if bucket not in writers:
                    writers[bucket] = pq.ParquetWriter(paths[bucket], table.schema, compression="zstd")
                writers[bucket].write_table(table)
    finally:
        for writer in writers.values():
            writer.close()
    return [paths[bucket] for bucket in sorted(writers)]


def _with_history(path: Path, length: int) -> pl.DataFrame:
    rows = pl.read_parquet(path).sort("user_id", "time", maintain_order=True)
    user = rows["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    every = np.ones(len(rows), dtype=bool)
    empty = np.full((int(user.max()) + 1, length), EMPTY, dtype=np.int32)
    lists = []
    for name, column in (("seen_items", "item_id"), ("seen_categories", "category_id")):
        values = rows[column].to_numpy().astype(np.int32)
        before = pl.Series(name, ClickHistory(empty).advance(user, values, every)).cast(pl.List(pl.Int32))
        lists.append(before.list.eval(pl.element().filter(pl.element() != EMPTY)))
    local = pl.from_epoch(pl.col("time") + CHINA, time_unit="s")
    return rows.with_columns(*lists, hour=local.dt.hour().cast(pl.Int8), weekday=local.dt.weekday().cast(pl.Int8))
