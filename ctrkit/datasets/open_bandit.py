"""Open Bandit: recommended fashion items, with what is known of each item and the user's affinity to it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from ctrkit.datasets.catalogue import OPEN_BANDIT, SourceFile
from ctrkit.datasets.sources import built_log, find_file, undecodable
from ctrkit.datasets.streams import BLOCK, text_frames, write_log
from ctrkit.errors import ConfigError, did_you_mean

FILE_NAME = "log.parquet"
POLICIES, CAMPAIGNS = ("random", "bts"), ("all", "men", "women")
KEPT = ("timestamp", "item_id", "position", "click", "propensity_score", *(f"user_feature_{i}" for i in range(4)))
ITEM = ("item_id", *(f"item_feature_{i}" for i in range(4)))
AFFINITY = "user-item_affinity_"


def build(
    *,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    policy: str = "random",
    campaign: str = "all",
    block: int = BLOCK,
) -> Path:
    """Write `out/log.parquet`: the rows of a policy and a campaign, joined with the items' features.

    `affinity` is the user's affinity to the item of the row; those to other items are left out. `propensity_score` is
    the probability with which the policy chose the item: no feature, but what off-policy evaluation needs.
    Source: Saito et al., "Open Bandit Dataset and Pipeline", 2020. Raises `ArtifactError` that says where to download
    the files, `LogError` when one cannot be read, `ConfigError` for an unknown policy or campaign.
    """
    for name, value, known in (("policy", policy, POLICIES), ("campaign", campaign, CAMPAIGNS)):
        if value not in known:
            raise ConfigError(f"Open Bandit: unknown {name} {value!r}.{did_you_mean(value, known)}")
    names = (f"{policy}/{campaign}/{campaign}.csv", f"{policy}/{campaign}/item_context.csv")
    chosen = dataclasses.replace(OPEN_BANDIT, files=tuple(SourceFile(names=(name,), what="") for name in names))
    log, items = (find_file(chosen, place, source) for place in range(2))

    def write(folder: Path) -> None:
        write_log(folder / FILE_NAME, _rows(log, _items(items), block), label="open_bandit")

    options = {"policy": policy, "campaign": campaign}
    return built_log("open_bandit", out, file_name=FILE_NAME, options=options, sources=(log, items), write=write)


def _items(path: Path) -> pl.DataFrame:
    table = pl.concat(list(text_frames(path, separator=",", quoted=True)))
    if not set(ITEM) <= set(table.columns):
        raise undecodable(path, ValueError(f"columns {', '.join(table.columns)}, expected {', '.join(ITEM)}"))
    return table.select(ITEM)


def _rows(log: Path, items: pl.DataFrame, block: int) -> Iterator[pl.DataFrame]:
    for frame in text_frames(log, separator=",", quoted=True, block=block):
        affinities = [name for name in frame.columns if name.startswith(AFFINITY)]
        numbers = np.array([int(name.removeprefix(AFFINITY)) for name in affinities])
        if not set(KEPT) <= set(frame.columns) or not affinities or (numbers != np.arange(len(numbers))).any():
            raise undecodable(log, ValueError(f"it lacks a column of {', '.join(KEPT)}, {AFFINITY}0 and so on"))
        rows = frame.select(KEPT).join(items, on="item_id", how="left", maintain_order="left")
        item = frame["item_id"].cast(pl.Int64, strict=False)
        if item.null_count() or not item.is_between(0, len(affinities) - 1).all():
            raise undecodable(log, ValueError(f"an item_id is not one of 0 to {len(affinities) - 1}"))
        matrix = frame.select(pl.col(affinities).cast(pl.Float64)).to_numpy()
        own = np.take_along_axis(matrix, item.to_numpy()[:, None], axis=1)[:, 0]
        yield rows.with_columns(pl.Series("affinity", own), pl.col("item_feature_0").cast(pl.Float64))
