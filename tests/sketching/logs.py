"""Small logs of every sort, whose meaning is known because they are made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROWS = 4_000


def clicks(rows: int = ROWS, seed: int = 0) -> pl.DataFrame:
    """Users see ads; the click depends on the ad and the hour."""
    random = np.random.default_rng(seed)
    user, ad = random.integers(0, 300, rows), random.integers(0, 60, rows)
    hour = random.integers(0, 24, rows)
    price = np.round(1 + 9 * np.random.default_rng(1).random(60), 2)[ad]
    logit = -1.5 + 1.5 * np.sin(ad) + 0.8 * np.cos(hour / 4)
    clicked = random.random(rows) < 1 / (1 + np.exp(-logit))
    return pl.DataFrame(
        {
            "request_id": [f"r{i:06}" for i in random.permutation(rows)],
            "ts": 1_700_000_000 + np.sort(random.integers(0, 10**6, rows)),
            "user_id": [f"u{i}" for i in user],
            "country": np.array(["at", "ch", "de"])[user % 3],
            "hour": hour,
            "ad_id": [f"a{i}" for i in ad],
            "price": price,
            "currency": ["EUR"] * rows,
            "seen_ads": ["|".join(f"a{(i + k) % 60}" for k in range(i % 4)) for i in user],
            "revenue": np.where(clicked, price, 0.0),
            "clicked": clicked.astype(int),
        }
    )


Write = Callable[[pl.DataFrame, Path], Any]
WAYS: dict[str, Write] = {
    "log.csv": lambda frame, path: frame.write_csv(path),
    "log.tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "semicolons.csv": lambda frame, path: frame.write_csv(path, separator=";"),
    "bare.csv": lambda frame, path: frame.write_csv(path, include_header=False),
    "log.parquet": lambda frame, path: frame.write_parquet(path),
}
