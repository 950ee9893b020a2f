"""Avazu's mobile ads: the published train file, with the hour and the weekday told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ctrkit.datasets.catalogue import AVAZU
from ctrkit.datasets.sources import built_log, find_file, undecodable
from ctrkit.datasets.streams import text_frames, write_log

FILE_NAME = "log.parquet"
COLUMNS = (
    *("id", "click", "hour", "C1", "banner_pos", "site_id", "site_domain", "site_category", "app_id", "app_domain"),
    *("app_category", "device_id", "device_ip", "device_model", "device_type", "device_conn_type"),
    *(f"C{number}" for number in range(14, 22)),
)


def build(*, source: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Write `out/log.parquet`: the file's columns, `time` (seconds since 1970, UTC), `hour_of_day` and `weekday`.

    Source: Kaggle's Click-Through Rate Prediction, 2014. Raises `ArtifactError` that says where to download the file,
    `LogError` when it is another one, such as the challenge's test file, which has no clicks.
    """
    log = find_file(AVAZU, 0, source)

    def write(folder: Path) -> None:
        write_log(folder / FILE_NAME, _frames(log), label="avazu")

    return built_log("avazu", out, file_name=FILE_NAME, options={}, sources=(log,), write=write)


def _frames(log: Path) -> Iterator[pl.DataFrame]:
    for frame in text_frames(log, separator=","):
        if tuple(frame.columns) != COLUMNS:
            raise undecodable(log, ValueError(f"columns {', '.join(frame.columns)}, expected {', '.join(COLUMNS)}"))
        time = ("20" + pl.col("hour") + "00").str.to_datetime("%Y%m%d%H%M", strict=False)
        rows = frame.with_columns(
            pl.col("click").cast(pl.Int8, strict=False),
            time=time.dt.epoch("s"),
            hour_of_day=time.dt.hour().cast(pl.Int8),
            weekday=time.dt.weekday().cast(pl.Int8),
        )
        if rows["time"].null_count() or rows["click"].null_count():
            raise undecodable(log, ValueError("a row has no click, or an hour that is not YYMMDDHH"))
        yield rows
