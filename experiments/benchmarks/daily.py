"""Is a model that is trained day by day better on the next day than the first day's? `daily.py LOG SEED ..`

LOG is synthetic or criteo. Each line that is printed is one way of training, scored on the third day. CTRKIT_DATA names
the folder of real logs.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from ctrkit.datasets import SyntheticLog, SyntheticOptions
from ctrkit.metrics.exact import auc, log_loss, pcoc
from ctrkit.models import wide_deep
from ctrkit.records import Prepared, Split, prepare
from ctrkit.schema import Schema
from ctrkit.training import TrainingOptions, carry_over, train

ROWS_A_DAY, DRIFT = 30_000, 0.6
SPLIT, WHOLE = Split(by="order", validation=0.1, test=0.0), Split(by="order", validation=0.0, test=0.0)


def synthetic(folder: Path) -> tuple[Schema, list[Path], dict[str, Any], dict[str, Any]]:
    """Three days whose users, ads, tastes and qualities change."""
    log = SyntheticLog(SyntheticOptions(rows=3 * ROWS_A_DAY, days=3, drift=DRIFT))
    whole = pl.concat(log.frames()).with_columns(pl.col("clicked_ads", "clicked_topics").list.join("|"))
    files = [folder / f"{day}.csv" for day in range(3)]
    for day, file in enumerate(files):
        whole[day * ROWS_A_DAY : (day + 1) * ROWS_A_DAY].write_csv(file)
    described = log.schema().to_dict()
    for feature in described["features"].values():
        if feature["kind"] == "categorical":
            feature["min_count"] = 2  # So that out of vocabulary is something that a model has seen.
    model = {"dim": 8, "hidden": (32,)}
    options = {"batch_size": 512, "epochs": 2, "table_options": {"initial_accumulator_value": 1e-4}}
    return Schema.from_dict(described), files, model, options


def criteo(folder: Path) -> tuple[Schema, list[Path], dict[str, Any], dict[str, Any]]:
    """The sample's rows, which are in the order of time, in three equal stretches."""
    source = Path(os.environ.get("CTRKIT_DATA", "data")) / "criteo_80k" / "train.tsv.gz"
    with gzip.open(source, "rb") as lines:
        rows = lines.readlines()
    files = [folder / f"{day}.tsv" for day in range(3)]
    for day, file in enumerate(files):
        file.write_bytes(b"".join(rows[day * len(rows) // 3 : (day + 1) * len(rows) // 3]))
    schema = Schema.from_yaml(Path(__file__).parents[2] / "conf" / "schema" / "criteo.yaml")
    model = {"dim": 16, "hidden": (32,), "l2": 1e-4}
    options = {"batch_size": 512, "epochs": 3, "table_learning_rate": 0.04}
    return schema, files, model, {**options, "table_options": {"initial_accumulator_value": 6.8e-6}}


class Days:
    """The logs, indexed once for all seeds, and what is trained on them."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.schema, self.files, self.model, self.options = {"synthetic": synthetic, "criteo": criteo}[name](folder)
        self.first = self.prepared("first", self.files[0])
        self.second = self.prepared("second", self.files[1], extend=self.first.index)
        self.fresh = self.prepared("fresh", self.files[1])
        self.both = self.prepared("both", self.files[:2])

    def prepared(self, folder: str, files: Any, *, split: Split = SPLIT, **more: Any) -> Prepared:
        return prepare(self.schema, files, self.folder / folder, split=split, **more)

    def build(self, data: Prepared) -> Any:
        return wide_deep(data.index, **self.model)

    def tell(self, seed: int, way: str, model: Any, data: Prepared) -> None:
        """Score the third day with the index of `data`."""
        third = self.prepared(f"third-{data.fingerprint[:8]}", self.files[2], split=WHOLE, index=data.index)
        rows = third.train.arrays()  # type: ignore[union-attr]
        scores = model.predict(rows["ids"], batch_size=8192, verbose=0).ravel()
        label = rows["label"][:, 0]
        told = {metric.__name__: round(metric(label, scores), 5) for metric in (auc, log_loss, pcoc)}
        print(json.dumps({"log": self.name, "seed": seed, "way": way, **told}), flush=True)

    def trained(self, seed: int, way: str, data: Prepared, **changed: Any) -> Path:
        import tensorflow as tf

        tf.keras.backend.clear_session()
        tf.keras.utils.set_random_seed(seed)
        model, run = self.build(data), self.folder / f"{way}-{seed}"
        options = {"early_stopping": None, "seed": seed, **self.options, **changed}
        train(model, data, run, options=TrainingOptions(**options))
        self.tell(seed, way, model, data)
        return run


def main() -> None:
    name, *seeds = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        days = Days(name, Path(folder))
        print(json.dumps({"log": name, "extension": days.second.extension}), flush=True)
        for seed in map(int, seeds or ["0", "1", "2"]):
            first = days.trained(seed, "first day", days.first)
            model = days.build(days.second)
            carry_over(model, first, days.second.index)
            days.tell(seed, "first day, carried over", model, days.second)
            warm = {"warm_start": str(first), "epochs": 1}
            days.trained(seed, "extended", days.second, **warm)
            days.trained(seed, "extended, fresh slots", days.second, warm_start_slots=False, **warm)
            days.trained(seed, "second day alone", days.fresh)
            days.trained(seed, "both days anew", days.both)


if __name__ == "__main__":
    main()
