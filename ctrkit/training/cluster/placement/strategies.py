"""Ways to deal variables to parameter servers: each gives the shards and the server of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ctrkit.training.cluster.placement.shard import Item, Shard

Dealt: TypeAlias = tuple[list[Shard], list[int]]

GOOD_ENOUGH = 1.05  # Largest over mean load, from which on more parts would only be more messages.
WORTH_MORE_PARTS = 0.99  # Of the imbalance with fewer: where a whole variable sets the limit, more are in vain.
FINEST = 1 / 128  # Of a fair share: smaller parts cost more in messages than they even out.


def round_robin(items: Sequence[Item], ps: int) -> Dealt:
    """In order of creation, each to the next server: what TensorFlow does by itself. Nothing is split."""
    return [item.split(1)[0] for item in items], [number % ps for number in range(len(items))]


def greedy(items: Sequence[Item], ps: int) -> Dealt:
    """In order of creation, each to the server with the fewest bytes of weights so far. Nothing is split.

    Source: `tf.contrib.training.GreedyLoadBalancingStrategy` of TensorFlow 1 with `byte_size_load_fn`, which counts
    neither optimizer slots nor traffic.
    """
    load, tasks = np.zeros(ps), []
    for item in items:
        task = int(np.argmin(load))
        load[task] += item.weight_bytes
        tasks.append(task)
    return [item.split(1)[0] for item in items], tasks


def balanced(items: Sequence[Item], ps: int) -> Dealt:
    """Largest first, slots counted, by the larger of the shares of bytes and of traffic; large variables are split.

    A variable of more than a fair share (a server's part of the total) is split so that its parts are no larger.
    Where this leaves a server with more than `GOOD_ENOUGH` of the mean, parts of half the size are tried, and so on:
    few parts are few messages. Parts of one variable go to different servers.
    """
    totals = _totals(items)
    best: tuple[float, Dealt] | None = None
    grain = 1.0
    while grain >= FINEST:
        shards = [shard for item in items for shard in item.split(_parts(item, ps, grain, totals))]
        tasks, imbalance = _largest_first(shards, ps, totals)
        if best is None or imbalance <= GOOD_ENOUGH or imbalance < best[0] * WORTH_MORE_PARTS:
            best = imbalance, (shards, tasks)
        if imbalance <= GOOD_ENOUGH:
            break
        grain /= 2
    assert best is not None
    return best[1]


STRATEGIES: dict[str, Callable[[Sequence[Item], int], Dealt]] = {
    "balanced": balanced,
    "greedy": greedy,
    "round_robin": round_robin,
}


def _totals(items: Sequence[Item]) -> np.ndarray:
    """Bytes and traffic of all variables, 1 where there is none."""
    totals = np.array([sum(item.bytes for item in items), sum(item.traffic for item in items)], dtype=np.float64)
    return np.where(totals > 0, totals, 1.0)


def _parts(item: Item, ps: int, grain: float, totals: np.ndarray) -> int:
    """Into how many parts none of which is more than `grain` of a fair share, but at most one a server."""
    fair_shares = float(np.max(np.array([item.bytes, item.traffic]) / totals)) * ps
    if not item.splittable or fair_shares <= grain:
        return 1
    return min(ps, item.rows, math.ceil(fair_shares / grain))


def _largest_first(shards: Sequence[Shard], ps: int, totals: np.ndarray) -> tuple[list[int], float]:
    """The server of each shard, and the largest over mean load that comes out."""
    sizes = np.array([[shard.bytes, shard.traffic] for shard in shards]).reshape(-1, 2) / totals
    load = np.zeros((ps, 2))
    tasks = [0] * len(shards)
    holds: dict[int, list[int]] = {}  # Weight -> servers that hold a part of it already.
    for number in np.argsort(-sizes.max(axis=1), kind="stable").tolist():
        after = load + sizes[number]
        cost = after.max(axis=1)
        taken = holds.setdefault(shards[number].item.weight, [])
        cost[taken] = np.inf
        task = int(np.lexsort((after.sum(axis=1), cost))[0])
        load[task] += sizes[number]
        taken.append(task)
        tasks[number] = task
    return tasks, float(load.max()) * ps
