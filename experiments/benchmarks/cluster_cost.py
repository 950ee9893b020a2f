"""Compute how the time of a step grows with parameter servers and workers, and what breaks first.

    python experiments/benchmarks/cluster_cost.py [--measure] [--call-us 67 --byte-ns 0.62 --row-ns 370 …]

A step of one worker sends and takes `bytes` in `calls`; each server carries the part that the plan gives it. Costs are
arguments; with --measure the three of CPU time are measured first, between two real `tf.distribute.Server` processes on
loopback (a minute). A worker's time is its computing, its own share of the calls and of its network; a server's time is
what all workers ask of it. Asynchronously a step takes the longer of the two; synchronously, where all workers ask at
once after computing, their sum. A paper figure: no queueing, no stragglers, no switch between the machines.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SERVERS, WORKERS = (1, 2, 8, 32, 64), (1, 8, 32, 100, 200)
TABLE_CALLS, DENSE_CALLS = (
    4,
    2,
)  # Of a part: ids, rows, gradient, its rows' numbers; weight, gradient. Each is one tensor.
ROUNDS = 3  # One after another in a step: ids to the servers, rows back, gradients out.


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine costs and has; the first three were measured with --measure on one of two cores."""

    call_us: float = 67.0  # CPU of one tensor sent between tasks, on the side where it costs more.
    byte_ns: float = 0.62  # CPU of a byte sent, likewise.
    row_ns: float = 370.0  # CPU of a row of 16 numbers looked up and updated by Adagrad, on the server.
    cores: int = 16
    network: float = 25e9 / 8  # Bytes/s in each direction.
    round_trip: float = 100e-6  # Seconds.
    disk: float = 1e9  # Bytes/s that one task writes or reads of checkpoints.
    memory: float = 256e9  # Bytes of a server.


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one step of one worker asks of the servers together, and of the most loaded one."""

    calls: float
    bytes: float
    rows: float
    server_calls: float
    server_bytes: float
    server_rows: float
    held: float  # Bytes on the fullest server, with optimizer slots.
    total: float  # Bytes on all servers.


def load_of(items: list[Any], ps: int) -> Load:
    """The load under our placement."""
    import numpy as np

    from ctrkit.training.cluster import plan

    dealt = plan(items, ps)
    calls, rows = np.ones(ps), np.zeros(ps)  # One call a step and server starts its part of the graph.
    for shard, task in zip(dealt.shards, dealt.tasks, strict=True):
        is_table = shard.item.name.endswith("table")
        calls[task] += TABLE_CALLS if is_table else DENSE_CALLS
        rows[task] += shard.traffic / (8 + 2 * shard.item.row_bytes / (1 + shard.item.slots)) if is_table else 0
    return Load(
        calls=calls.sum(),
        bytes=dealt.traffic.sum(),
        rows=rows.sum(),
        server_calls=calls.max(),
        server_bytes=dealt.traffic.max(),
        server_rows=rows.max(),
        held=dealt.bytes.max(),
        total=dealt.bytes.sum(),
    )


def worker_parts(load: Load, machine: Machine, computing: float) -> dict[str, float]:
    """Seconds of a worker's step, by what they go to; sending is done by several threads."""
    threads = min(machine.cores, 4)
    return {
        "computing": computing,
        "worker's calls": load.calls * machine.call_us * 1e-6 / threads,
        "worker's bytes": load.bytes * machine.byte_ns * 1e-9 / threads,
        "worker's network": load.bytes / 2 / machine.network,
        "round trips": ROUNDS * machine.round_trip,
    }


def server_parts(load: Load, machine: Machine) -> dict[str, float]:
    """Seconds of the most loaded server that a step of one worker takes: CPU and network run side by side."""
    cpu = {
        "servers' calls": load.server_calls * machine.call_us * 1e-6 / machine.cores,
        "servers' bytes": load.server_bytes * machine.byte_ns * 1e-9 / machine.cores,
        "servers' rows": load.server_rows * machine.row_ns * 1e-9 / machine.cores,
    }
    network = load.server_bytes / 2 / machine.network
    return {"servers' network": network} if network > sum(cpu.values()) else cpu


def step(load: Load, machine: Machine, computing: float, workers: int) -> tuple[float, float, str]:
    """Seconds of a step, asynchronously and synchronously, and what takes the most of the former."""
    mine, theirs = worker_parts(load, machine, computing), server_parts(load, machine)
    of_worker, of_servers = sum(mine.values()), workers * sum(theirs.values())
    longest = mine if of_worker >= of_servers else theirs
    return max(of_worker, of_servers), of_worker + of_servers, max(longest, key=lambda name: longest[name])


def models() -> dict[str, list[Any]]:
    """Criteo at full size, and a table of a TB for the same fields: 64 numbers a row, since int32 numbers its rows."""
    path = Path(__file__).with_name("placement.py")
    spec = importlib.util.spec_from_file_location("placement_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    from ctrkit.training.cluster import Item, items_of

    index = benchmark.criteo_index()
    criteo = items_of(benchmark.fused_weights(index), index, batch_size=4096, table_slots=1, dense_slots=2)
    read = criteo[0].reads.total
    row = 64 * 4 * 2
    table = Item(
        name="embeddings/table",
        weight=0,
        rows=int(1e12 / row),
        row_bytes=row,
        slots=1,
        traffic=read * (8 + 8 * 64),
        splittable=True,
    )
    kernel = replace(criteo[1], rows=39 * 64, traffic=8.0 * 39 * 64 * 256, reads=None)
    others = [item for item in criteo[2:] if item.name != "linear/table"]
    return {"Criteo, dim 16": criteo, "1 TB table, dim 64": [table, kernel, *others]}


def measure() -> dict[str, float]:
    """Measure the CPU time of a call, a byte and a row between a parameter server and a worker on loopback."""
    with socket.socket() as a, socket.socket() as b:
        for one in (a, b):
            one.bind(("127.0.0.1", 0))
        cluster = {"ps": [f"127.0.0.1:{a.getsockname()[1]}"], "worker": [f"127.0.0.1:{b.getsockname()[1]}"]}
    command = [sys.executable, __file__, "--serve", json.dumps(cluster)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return _measure(cluster, server.pid)
    finally:
        server.kill()
        server.wait()


def _serve(cluster: dict[str, list[str]]) -> None:
    import tensorflow as tf

    tf.distribute.Server(cluster, job_name="ps", task_index=0, config=_config())
    sys.stdin.read()  # Ends when the process that started this one does.


def _config() -> Any:
    import tensorflow as tf

    return tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=4)


def _measure(cluster: dict[str, list[str]], pid: int) -> dict[str, float]:
    import psutil
    import tensorflow as tf

    v1, many, large, rows, dim = tf.compat.v1, 200, 16_000_000, 30_000, 16
    v1.disable_eager_execution()
    here = tf.distribute.Server(cluster, job_name="worker", task_index=0, config=_config())
    with tf.device("/job:ps/task:0"):
        small = [v1.get_variable(f"small{k}", [1], use_resource=True) for k in range(many)]
        big = v1.get_variable("big", [large // 4], use_resource=True, initializer=v1.zeros_initializer())
        table = v1.get_variable("table", [1_000_000, dim], use_resource=True, initializer=v1.zeros_initializer())
        slot = v1.get_variable("slot", [1_000_000, dim], use_resource=True, initializer=v1.ones_initializer())
        ids = tf.random.uniform([rows], maxval=1_000_000, dtype=tf.int32)
        gradient = tf.gather(table, ids) + 1.0
        update = tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=table.handle, accum=slot.handle, lr=0.1, epsilon=1e-7, grad=gradient, indices=ids
        )
    with tf.device("/job:worker/task:0"):
        calls = tf.group(*[tf.identity(one) for one in small])
        moved = tf.group(tf.identity(big))
    processes = [psutil.Process(), psutil.Process(pid)]

    def cpu() -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in processes]

    def cost(session: Any, op: Any, times: int) -> tuple[float, float, float]:
        for _ in range(3):
            session.run(op)
        before, start = cpu(), time.perf_counter()
        for _ in range(times):
            session.run(op)
        seconds = (time.perf_counter() - start) / times
        mine, theirs = ((b - a) / times for a, b in zip(before, cpu(), strict=True))
        return seconds, mine, theirs

    with v1.Session(here.target) as session:
        session.run(v1.global_variables_initializer())
        with tf.device("/job:ps/task:0"):
            nothing = tf.no_op()
        empty = cost(session, nothing, 200)
        found = {
            "calls": cost(session, calls, 200),
            "bytes": cost(session, moved, 60),
            "rows": cost(session, update, 60),
        }
    per = {"calls": many / 1e6, "bytes": large / 1e9, "rows": rows / 1e9}
    print(f"measured on loopback, less an empty step of {1e3 * empty[0]:.2f} ms:")
    for name, costs in found.items():
        wall, mine, theirs = ((value - base) / per[name] for value, base in zip(costs, empty, strict=True))
        unit = "us a call" if name == "calls" else f"ns a {name[:-1]}"
        print(f"  {name}: {wall:.3g} {unit} of time; CPU {mine:.3g} on the worker, {theirs:.3g} on the server")
    cpu_of = {name: max(found[name][side] - empty[side] for side in (1, 2)) / per[name] for name in found}
    return {"call_us": cpu_of["calls"], "byte_ns": cpu_of["bytes"], "row_ns": cpu_of["rows"]}


def table(name: str, items: list[Any], machine: Machine, computing: float) -> None:
    """Print one model's table."""
    print(f"\n{name}: ms a step asynchronously / synchronously, and what takes the most of the former\n")
    print("| PS | held each | calls, MB a step | " + " | ".join(f"{w} workers" for w in WORKERS) + " |")
    print("|---" * (3 + len(WORKERS)) + "|")
    for ps in SERVERS:
        load = load_of(items, ps)
        full = " (does not fit)" if load.held > machine.memory else ""
        cells = []
        for workers in WORKERS:
            alone, together, most = step(load, machine, computing, workers)
            cells.append(f"{1e3 * alone:,.0f} / {1e3 * together:,.0f} {most}")
        first = f"| {ps} | {load.held / 1e9:,.2f} GB{full} | {load.calls:,.0f}, {load.bytes / 1e6:.1f}"
        print(f"{first} | {' | '.join(cells)} |")
    print("\n| PS | checkpoint or restore, each server its own | all through one task |\n|---|---|---|")
    for ps in SERVERS:
        load = load_of(items, ps)
        through_one = load.total / min(machine.disk, machine.network)
        print(f"| {ps} | {_seconds(load.held / machine.disk)} | {_seconds(through_one)} |")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def most_workers(items: list[Any], machine: Machine, computing: float, ps: int) -> int:
    """Workers from which on the servers are what a step waits for."""
    load = load_of(items, ps)
    return math.floor(sum(worker_parts(load, machine, computing).values()) / sum(server_parts(load, machine).values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the costs of calls, bytes and rows first")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--computing-ms", type=float, default=76.0, help="of a batch of 4,096 without a cluster")
    for name, default in vars(Machine()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    options = parser.parse_args()
    if options.serve is not None:
        _serve(json.loads(options.serve))
        return
    machine = Machine(**{name: getattr(options, name) for name in vars(Machine())})
    if options.measure:
        machine = replace(machine, **measure())
    print(", ".join(f"{name} {value:,.4g}" for name, value in vars(machine).items()))
    for name, items in models().items():
        table(name, items, machine, options.computing_ms / 1e3)
        limits = ", ".join(
            f"{ps} PS {most_workers(items, machine, options.computing_ms / 1e3, ps):,}" for ps in SERVERS
        )
        print(f"\nworkers up to which the servers keep pace: {limits}")


if __name__ == "__main__":
    main()
