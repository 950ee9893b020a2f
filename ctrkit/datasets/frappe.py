"""Frappe: which apps people used in which context, with sampled negatives beside the logged positives."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl

from ctrkit.datasets.catalogue import FRAPPE
from ctrkit.datasets.sources import built_log, find_file, undecodable
from ctrkit.errors import ConfigError

FILE_NAME = "log.parquet"
CONTEXT = ("daytime", "weekday", "isweekend", "homework", "weather", "country", "city")


def build(*, source: str | os.PathLike[str], out: str | os.PathLike[str], negatives: int = 2, seed: int = 0) -> Path:
    """Write `out/log.parquet`: each logged use (`used` 1), followed by `negatives` sampled ones (`used` 0).

    A negative keeps the user and the context and takes an app drawn uniformly from all apps that this user is not
    logged with in the very same context. `cost` goes with the app, so a negative has its own app's most frequent cost.
    `cnt`, how often the app was used, is left out: only positives could have it.
    Source: Baltrunas et al., "Frappe: Understanding the Usage and Perception of Mobile App Recommendations
    In-The-Wild", 2015; two negatives per positive as in He and Chua, "Neural Factorization Machines", SIGIR 2017.

    Raises `ArtifactError` that says where to download the log, `LogError` when it cannot be read, `ConfigError` for
    fewer negatives than one.
    """
    if negatives < 1:
        raise ConfigError(f"Frappe: `negatives` is {negatives!r}, expected at least 1: the log holds positives only.")
    log = find_file(FRAPPE, 0, source)

    def write(folder: Path) -> None:
        _with_negatives(_read(log), negatives, seed).write_parquet(folder / FILE_NAME)

    options = {"negatives": negatives, "seed": seed}
    return built_log("frappe", out, file_name=FILE_NAME, options=options, sources=(log,), write=write)


def _read(path: Path) -> pl.DataFrame:
    try:
        raw = pl.read_csv(path, separator="\t", infer_schema=False)
        return raw.select("user", "item", "cost", *CONTEXT)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise undecodable(path, error) from error


def _with_negatives(positives: pl.DataFrame, negatives: int, seed: int) -> pl.DataFrame:
    situation = positives.select(pl.struct("user", *CONTEXT).rank("dense").cast(pl.Int64)).to_series().to_numpy()
    apps = positives["item"].unique().sort()
    app = (
        positives.select(pl.col("item").replace_strict(apps, pl.int_range(len(apps), eager=True)))
        .to_series()
        .to_numpy()
    )
    used = np.unique(situation * len(apps) + app)
    # Draws that hit a used app are drawn again; a situation in which every app was used would never end.
    most = np.bincount(used // len(apps)).max()
    if most >= len(apps):
        raise ConfigError("Frappe: a user is logged with every app in one context, so no negative can be drawn.")
    rng = np.random.default_rng(seed)
    situations = np.repeat(situation, negatives)
    drawn = rng.integers(0, len(apps), len(situations))
    while (again := np.flatnonzero(np.isin(situations * len(apps) + drawn, used))).size:
        drawn[again] = rng.integers(0, len(apps), again.size)
    costs = positives.group_by("item").agg(pl.col("cost").mode().sort().first())
    rows = pl.Series("row", np.repeat(np.arange(len(positives)), negatives))
    sampled = positives[rows].with_columns(item=apps.gather(drawn), used=pl.lit(0, pl.Int8), row=rows)
    logged = positives.with_columns(used=pl.lit(1, pl.Int8), row=pl.int_range(len(positives)))
    sampled = sampled.drop("cost").join(costs, on="item", how="left", maintain_order="left").select(logged.columns)
    return pl.concat([logged, sampled]).sort("row", maintain_order=True).drop("row")
