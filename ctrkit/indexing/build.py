"""Learn vocabularies and boundaries from counts of the training part, the same whichever engine counted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctrkit.indexing.vocabulary import Vocabulary, byte_order
from ctrkit.schema import Categorical, Cross, Numeric

DIGITS = 12  # Significant digits a number keeps when it is counted: enough for a bucket's edge, few enough to merge.
_EXACT_POWER = 22  # Largest power of ten that a double holds exactly.


def learn_vocabulary(feature: Categorical | Cross, values: pa.LargeStringArray, counts: np.ndarray) -> Vocabulary:
    """Keep the values seen at least `min_count` times, the `max_size` most frequent; ties by value.

    Args:
      feature: whose `min_count` and `max_size` apply.
      values: distinct values in any order, without nulls.
      counts: int `[values]`, how often each was seen in the training part.
    """
    kept = np.flatnonzero(counts >= max(1, feature.min_count))
    values, counts = values.take(pa.array(kept)), counts[kept]
    by_value = byte_order(*bytes_of(values))
    ranked = by_value[np.argsort(-counts[by_value], kind="stable")[: feature.max_size]]
    blob, offsets = bytes_of(values.take(pa.array(ranked)))
    return Vocabulary.of_bytes(blob, offsets, counts[ranked])


def bytes_of(values: pa.StringArray | pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of `values` one after another, uint8, and where each begins, int64 `[values + 1]`. No copy."""
    _, offsets_buffer, data = values.buffers()
    if offsets_buffer is None or not len(values):
        return np.empty(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    offsets = np.frombuffer(offsets_buffer, dtype=width)[values.offset : values.offset + len(values) + 1]
    blob = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
    return blob[offsets[0] : offsets[-1]], (offsets - offsets[0]).astype(np.int64)


def values_of(vocabulary: Vocabulary) -> pa.LargeStringArray:
    """The values of `vocabulary` in rank order. No copy."""
    buffers = [
        None,
        pa.py_buffer(np.ascontiguousarray(vocabulary.offsets)),
        pa.py_buffer(np.ascontiguousarray(vocabulary.blob)),
    ]
    return pa.Array.from_buffers(pa.large_string(), len(vocabulary), buffers)


def learn_boundaries(feature: Numeric, values: np.ndarray, counts: np.ndarray) -> tuple[float, ...]:
    """The edges of a numeric feature's buckets by its rule.

    Args:
      feature: with given `boundaries`, `quantiles` or the `log` rule.
      values: float64, finite, distinct after `rounded`, increasing.
      counts: int `[values]`, how often each was seen in the training part.
    """
    if feature.boundaries is not None:
        return feature.boundaries
    upto = np.cumsum(counts, dtype=np.int64)
    places = boundary_places(feature, int(upto[-1]) if len(upto) else 0)
    return boundaries_at(feature, values[np.searchsorted(upto, places, side="right")])


def boundary_places(feature: Numeric, total: int) -> np.ndarray:
    """Which of the `total` sorted numbers of the training part the rule of a feature needs, from 0: int64 `[n]`."""
    if not total:
        return np.empty(0, dtype=np.int64)
    if feature.log:
        return np.array([total - 1])
    assert feature.quantiles is not None
    return np.concatenate([[0], np.arange(1, feature.quantiles, dtype=np.int64) * total // feature.quantiles])


def boundaries_at(feature: Numeric, numbers: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """The edges of a feature's buckets, given the numbers at `boundary_places`.

    Quantiles cut the training part into buckets of about equally many rows. A value is never cut in two, so heavy
    values make for fewer buckets.
    """
    if feature.log:
        return log_boundaries(float(numbers[0]) if len(numbers) else 0.0)
    edges = np.unique(numbers)
    return tuple(edges[edges > numbers[0]].tolist()) if len(numbers) else ()


def log_boundaries(largest: float) -> tuple[float, ...]:
    """0, 1, 2, then `exp(sqrt(k))` up to `largest`: a bucket above 2 holds one value of `floor(ln(x)^2)`."""
    steps = int(math.log(largest) ** 2) if largest > 1 else 0
    edges = (math.exp(math.sqrt(k)) for k in range(1, steps + 1))
    return (0.0, 1.0, 2.0, *(edge for edge in edges if edge <= largest))


def rounded(values: np.ndarray) -> np.ndarray:
    """Round float64 to `DIGITS` significant digits, so that nearly equal numbers merge, on every engine alike."""
    values = np.asarray(values, dtype=np.float64)
    out = values + 0.0  # A negative zero becomes 0.
    at = np.flatnonzero(
        np.isfinite(values) & (values != 0) & ((values != np.floor(values)) | (np.abs(values) >= 10.0**DIGITS))
    )
    numbers = values[at]
    power = DIGITS - 1 - np.floor(np.log10(np.abs(numbers))).astype(np.int64)
    plain = (power >= 0) & (power <= _EXACT_POWER)
    scale = 10.0 ** np.where(plain, power, 0)
    out[at] = np.where(plain, np.round(numbers * scale) / scale, numbers)
    out[at[~plain]] = [float(f"{number:.{DIGITS - 1}e}") for number in numbers[~plain].tolist()]
    return out


class NumberCounts:
    """Counts of the numbers of one feature, merged chunk by chunk in memory bounded by its distinct numbers."""

    def __init__(self) -> None:
        self._values, self._counts = np.empty(0), np.empty(0, dtype=np.int64)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._waiting_numbers = 0

    def add(self, values: np.ndarray, counts: np.ndarray) -> None:
        """Add float64 numbers and their counts; numbers that are not finite do not count."""
        kept = np.isfinite(values) & (counts > 0)
        self._waiting.append((rounded(values[kept]), counts[kept]))
        self._waiting_numbers += int(kept.sum())
        if self._waiting_numbers > max(1 << 18, len(self._values)):
            self._merge()

    def _merge(self) -> None:
        values = np.concatenate([self._values, *(v for v, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(c for _, c in self._waiting)])
        self._waiting, self._waiting_numbers = [], 0
        self._values, place = np.unique(values, return_inverse=True)
        self._counts = np.bincount(place, counts, len(self._values)).astype(np.int64)  # Doubles: exact up to 2^53.

    def merged(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct numbers, increasing, and their counts."""
        self._merge()
        return self._values, self._counts
