"""Fill a batch up to a size that the model was compiled or warmed for, and take the filling away again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.serving.signatures import INDEX_SIGNATURE

Padding = Literal["auto", "always", "never"]
Arrays = Mapping[str, np.ndarray]


def sizes_by_signature(padding: Padding, manifest: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Signature -> the sizes that its batches are padded to.

    "auto" pads for signatures that XLA compiled, for which each other size costs a compilation; the others take any
    size at its own cost, and rows that only fill a batch would cost as much as real ones. Raises `ConfigError`.
    """
    if padding not in get_args(Padding):
        raise ConfigError(f"`padding` is {padding!r}.{did_you_mean(str(padding), get_args(Padding))}")
    if padding == "never":
        return {}
    found = {name: tuple(sorted(sizes)) for name, sizes in (manifest.get("compiled") or {}).items()}
    if padding == "always":
        buckets = tuple(sorted(manifest.get("buckets") or ()))
        scoring = {name for name, inputs in (manifest.get("signatures") or {}).items() if inputs} - {INDEX_SIGNATURE}
        found = dict.fromkeys(scoring, buckets) | found
    return {name: sizes for name, sizes in found.items() if sizes}


def padded_size(rows: int, sizes: Sequence[int]) -> int:
    """The smallest of the rising `sizes` that holds so many rows; `rows` itself when none does."""
    return next((size for size in sizes if size >= rows), rows)


def padded(array: np.ndarray, size: int) -> np.ndarray:
    """`[n, …]` to `[size, …]` by repeating the last row: a valid one, which no check refuses."""
    if len(array) == size:
        return array
    filled = np.empty((size, *array.shape[1:]), array.dtype)
    filled[: len(array)], filled[len(array) :] = array, array[-1]
    return filled


def run_padded(
    run: Callable[[Arrays], dict[str, np.ndarray]], inputs: Arrays, batched: Sequence[str], sizes: Sequence[int]
) -> dict[str, np.ndarray]:
    """`run(inputs)` at one of `sizes`; more rows than the largest go in parts of it. Outputs are those without padding.

    `batched` names the inputs of one row a candidate; the others go along as they are.
    """
    lengths = {len(inputs[name]) for name in batched}
    rows = next(iter(lengths), 0)
    if len(lengths) != 1 or rows == 0:
        return run(inputs)  # Nothing to pad, or inputs that contradict each other: the model says so.
    largest, parts = sizes[-1], []
    for start in range(0, rows, largest):
        end = min(start + largest, rows)
        size = padded_size(end - start, sizes)
        part = {name: padded(inputs[name][start:end], size) for name in batched}
        outputs = run({**inputs, **part})
        parts.append({name: array[: end - start] for name, array in outputs.items()})
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
