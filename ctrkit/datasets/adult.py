"""Adult (Census Income, UCI): the classic table of Wide & Deep, its train and test files cleaned into one log."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from ctrkit.datasets.catalogue import ADULT
from ctrkit.datasets.sources import built_log, find_file, undecodable

FILE_NAME = "log.parquet"
NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)


def build(*, source: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Write `out/log.parquet`: the rows of adult.data, then those of adult.test, for a split by order.

    Spaces around values and the dot behind the test file's labels go, `?` becomes missing, and a column `file` tells
    `train` from `test`. Source: Kohavi, "Scaling Up the Accuracy of Naive-Bayes Classifiers", KDD 1996 (CC BY 4.0).

    Raises `ArtifactError` that says where to download the two files, `LogError` when one cannot be read.
    """
    train, test = (find_file(ADULT, place, source) for place in range(2))

    def write(folder: Path) -> None:
        pl.concat([_read(train, "train"), _read(test, "test")]).write_parquet(folder / FILE_NAME)

    return built_log("adult", out, file_name=FILE_NAME, options={}, sources=(train, test), write=write)


def _read(path: Path, part: str) -> pl.DataFrame:
    try:
        raw = pl.read_csv(path, has_header=False, new_columns=COLUMNS, comment_prefix="|", infer_schema=False)
        if raw.width != len(COLUMNS):
            raise pl.exceptions.ShapeError(f"{raw.width} columns, expected {len(COLUMNS)}")
        text = raw.with_columns(pl.all().str.strip_chars().replace(["?", ""], None))
        return (
            text.filter(pl.col("income").is_not_null())
            .with_columns(pl.col("income").str.strip_suffix("."), pl.col(NUMBERS).cast(pl.Int64))
            .with_columns(file=pl.lit(part))
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise undecodable(path, error) from error
