"""A log with the shape of Criteo's, in any number of rows, for benchmarks: no row of the real one is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from ctrkit.atomic import atomic_file
from ctrkit.datasets.criteo import COLUMNS
from ctrkit.datasets.log_file import format_of, log_writer
from ctrkit.datasets.truth import STEPS, Truth, TruthCounter
from ctrkit.errors import ConfigError
from ctrkit.progress import progress

BLOCK_ROWS = 1 << 16  # Rows drawn from one seed: the same log comes out however many rows follow.
CLICK_RATE_LOGIT = -1.19  # With the effects below about 22% of the rows are clicked, as in the Kaggle log.
EFFECT = 0.35  # Standard deviation of each category's effect on the log-odds.
# Distinct values of the 26 categories in the whole Kaggle log of 45 million rows.
CARDINALITIES = (
    *(1_460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5_683, 8_351_593, 3_194),
    *(27, 14_992, 5_461_306, 10, 5_652, 2_173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572),
)
INFORMATIVE = (1, 4, 6, 8, 10, 13, 16, 17, 19, 22)  # Categories, counted from 0, that the click depends on.
# Per integer: share of missing values, mean and standard deviation of the logarithm.
INTEGERS = (
    *((0.45, 0.6, 1.2), (0.00, 1.9, 2.2), (0.21, 1.9, 1.4), (0.22, 1.6, 1.0), (0.03, 8.4, 2.3), (0.22, 3.6, 1.7)),
    *((0.04, 1.5, 1.5), (0.00, 2.2, 1.2), (0.04, 4.0, 1.5), (0.45, 0.3, 0.6), (0.04, 0.7, 0.9), (0.77, 0.3, 0.8)),
    (0.22, 1.7, 1.1),
)
# Per category: share of missing values.
MISSING = (
    *(0, 0, 0.03, 0.03, 0, 0.12, 0, 0, 0, 0, 0, 0.03, 0, 0, 0, 0.03, 0),
    *(0, 0.44, 0.44, 0.03, 0.76, 0, 0.03, 0.44, 0.44),
)
_HEX_PAIRS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)


def criteo_shaped(path: str | os.PathLike[str], *, rows: int, seed: int = 0, header: bool = False) -> Truth:
    """Write `rows` rows to `path` (.tsv, .csv, either with .gz, or .parquet) and return the truth about their clicks.

    As in the real log: a label, 13 heavy-tailed integers and 26 categories of 8 hexadecimal digits whose frequencies
    follow Zipf's law over Criteo's cardinalities, with missing values, no line of names, in one fixed order.
    The first rows of a longer log with the same seed are those of a shorter one. Memory holds one block.
    Raises `ConfigError` for fewer rows than one, or a name that tells no format.
    """
    path = Path(path)
    format_of(path)
    if rows < 1:
        raise ConfigError(f"criteo_shaped: `rows` is {rows!r}, expected an integer >= 1.")
    counter = TruthCounter(rows)
    with (
        atomic_file(path) as temporary,
        log_writer(path, temporary, header=header) as append,
        progress(f"Making {path.name}", total=rows) as shown,
    ):
        for first, frame, steps in _blocks(rows, seed):
            counter.add(first, steps, frame["label"].to_numpy().astype(bool))
            append(frame)
            shown.advance(len(frame))
    return counter.truth()


def _blocks(rows: int, seed: int) -> Iterator[tuple[int, pl.DataFrame, np.ndarray]]:
    for block, first in enumerate(range(0, rows, BLOCK_ROWS)):
        rng = np.random.default_rng([seed, block])
        frame, steps = _block(rng, seed)
        n = min(BLOCK_ROWS, rows - first)
        yield first, frame.head(n), steps[:n]


def _block(rng: np.random.Generator, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    n = BLOCK_ROWS
    columns: dict[str, pa.Array] = {}
    logits = np.full(n, CLICK_RATE_LOGIT)
    for number, (missing, mean, deviation) in enumerate(INTEGERS, start=1):
        logs = mean + deviation * rng.standard_normal(n, dtype=np.float32)
        absent = rng.random(n, dtype=np.float32) < missing
        values = np.where(logs > 0, np.exp(logs), 0).astype(np.int64) - (number == 2)  # I2 falls to -1.
        logits += np.where(absent, 0.0, EFFECT / 3 * (logs - mean) / deviation)
        columns[f"I{number}"] = pa.array(values, mask=absent)
    for place, (cardinality, missing) in enumerate(zip(CARDINALITIES, MISSING, strict=True)):
        rank = np.exp(rng.random(n) * np.log(cardinality + 1.0)).astype(np.uint32)  # Zipf's law with exponent 1.
        absent = rng.random(n, dtype=np.float32) < missing if missing else np.zeros(n, dtype=bool)
        token = _scramble(rank + np.uint32(place << 25), seed)
        if place in INFORMATIVE:
            logits += np.where(absent, 0.0, EFFECT * (_scramble(token, 7) / 2**32 - 0.5) * 12**0.5)
        columns[f"C{place + 1}"] = _hexadecimal(token, absent)
    steps = np.clip(np.rint(STEPS / (1 + np.exp(-logits))), 1, STEPS - 1).astype(np.int64)
    label = pa.array((rng.integers(0, STEPS, n) < steps).astype(np.int8))
    frame = pl.from_arrow(pa.table({"label": label, **columns}).select(list(COLUMNS)))
    assert isinstance(frame, pl.DataFrame)
    return frame, steps


def _scramble(values: np.ndarray, seed: int) -> np.ndarray:
    """A one-to-one mixing of `uint32 [n]`: distinct stay distinct. Source: Mueller's hash32, constants 0x45d9f3b."""
    mixed = values.astype(np.uint32) + np.uint32(seed * 0x9E3779B1 & 0xFFFFFFFF)
    for _ in range(2):
        mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x45D9F3B)
    return mixed ^ (mixed >> np.uint32(16))


def _hexadecimal(values: np.ndarray, absent: np.ndarray) -> pa.Array:
    """`uint32 [n]` as strings of 8 hexadecimal digits, null where `absent`."""
    n = len(values)
    digits = _HEX_PAIRS[values.astype(">u4").view(np.uint8)]  # Two digits an entry.
    offsets = np.arange(n + 1, dtype=np.int32) * 8
    valid = pa.py_buffer(np.packbits(~absent, bitorder="little").tobytes())
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits.tobytes()), valid)
