"""Measure signatures of a SavedModel against each other, taking turns, over TensorFlow's C API.

    python -m ctrkit.serving.deployment.turns SAVED_MODEL REQUESTS.npz

An array of the requests is named `LEFT|RIGHT/BUCKET/INPUT`: the same request goes to both signatures. Each pair and
bucket gives a line of JSON on standard output: `{"left", "right", "bucket", "milliseconds": [left, right], "rounds"}`,
CPU time of one request, the median of all rounds. In a process of its own no other threads are counted.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ctrkit.serving.runtime import SavedModelRuntime

SECONDS = 0.6  # CPU time for each pair and bucket: two hundred rounds of small requests.
FEWEST, MOST = 15, 200  # Rounds; a median of fewer moves with every hiccup of the machine.
BLOCK = 0.002  # Seconds that one turn should take at least: the clock of a process ticks in microseconds.
WARM = 5  # Requests before the clock runs; the first compiles, the next few still allocate.


def main(arguments: list[str]) -> None:
    """Measure every pair of the requests."""
    path, requests = arguments
    with SavedModelRuntime.load(path) as runtime:
        for (left, right, bucket), inputs in read_requests(Path(requests)):
            found, rounds = take_turns(*(_ask(runtime, signature, inputs) for signature in (left, right)))
            line = {"left": left, "right": right, "bucket": bucket, "milliseconds": found, "rounds": rounds}
            print(json.dumps(line), flush=True)


def read_requests(path: Path) -> Iterator[tuple[tuple[str, str, int], dict[str, np.ndarray]]]:
    """(left, right, bucket) and the inputs of the request that goes to both."""
    grouped: dict[tuple[str, str, int], dict[str, np.ndarray]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            pair, bucket, name = key.split("/", 2)
            left, right = pair.split("|")
            grouped.setdefault((left, right, int(bucket)), {})[name] = arrays[key]
    yield from grouped.items()


def take_turns(left: Callable[[], object], right: Callable[[], object]) -> tuple[list[float], int]:
    """Median CPU milliseconds of one call of each, and how many rounds it took."""
    for way in (left, right):
        for _ in range(WARM):
            way()
    once = max(min(_seconds(left, 1), _seconds(right, 1)), 1e-6)
    calls = max(1, round(BLOCK / once))
    spent: list[list[float]] = [[], []]
    start = time.process_time()
    while len(spent[0]) < FEWEST or (len(spent[0]) < MOST and time.process_time() - start < SECONDS):
        order = ((left, spent[0]), (right, spent[1]))
        for way, into in order if len(spent[0]) % 2 else order[::-1]:  # Neither is always the one that comes after.
            into.append(_seconds(way, calls) / calls * 1e3)
    return [statistics.median(times) for times in spent], len(spent[0])


def _seconds(way: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        way()
    return time.process_time() - start


def _ask(runtime: SavedModelRuntime, signature: str, inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    return lambda: runtime.run(signature, inputs)


if __name__ == "__main__":
    main(sys.argv[1:])
