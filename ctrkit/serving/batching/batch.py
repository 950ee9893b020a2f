"""One batch: the rows of several requests as inputs of one run, its outputs as the answers of each."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ctrkit.serving.batching.padding import Arrays, padded

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Some rows of one request, and where their outputs go."""

    inputs: Arrays
    rows: int
    done: Future[Outputs] = field(default_factory=Future)


@dataclass
class Batch:
    """Tasks that are computed together; open until it is full or its time is up."""

    due: float  # When it may be computed, full or not; by the monotonic clock.
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0

    def add(self, task: Task) -> None:
        self.tasks.append(task)
        self.rows += task.rows


def merged(tasks: Sequence[Task], size: int) -> Outputs:
    """The inputs of all tasks, one after another, filled up to `size` rows."""
    return {name: padded(_joined([task.inputs[name] for task in tasks]), size) for name in tasks[0].inputs}


def shares(tasks: Sequence[Task], outputs: Outputs) -> list[Outputs]:
    """Each task's rows of the outputs."""
    found, start = [], 0
    for task in tasks:
        found.append({name: array[start : start + task.rows] for name, array in outputs.items()})
        start += task.rows
    return found


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0]
    if len({array.shape[1:] for array in arrays}) == 1:
        return np.concatenate(arrays)
    longest = tuple(max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True))
    joined = np.zeros((sum(map(len, arrays)), *longest), arrays[0].dtype)
    if joined.dtype == object:
        joined[...] = b""
    start = 0
    for array in arrays:
        joined[(slice(start, start + len(array)), *map(slice, array.shape[1:]))] = array
        start += len(array)
    return joined
