"""Rank 100 candidates six ways over loopback: tf.feature_column fed by strings and by tf.Example, and ctrkit's forms.

    python experiments/benchmarks/serving.py [--rounds 5] [--seconds 2] [--starts 3]

All are Wide & Deep: 80 wide fields, 60 deep ones of dim 10, three layers of 256 units, behind the same embedded server,
each in a process of its own; the requests come from another process, built beforehand, except in the table that says
otherwise. The ways take turns within each round, so that a noisy machine slows all of them. About eight minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import load
import numpy as np
import psutil
import serving_models as models
import tensorflow as tf
from bars import draw_bars

from ctrkit.indexing import FeatureIndex
from ctrkit.serving import Client, Connection, serve_in_process

BASELINE = "tf.feature_column, tf.Example"
RATE = 200.0  # Requests a second of the open loop.
MODEL = "ctr"


@dataclass
class Way:
    """One way to ask, its server, and what was measured of it under each kind of load."""

    name: str
    signature: str
    output: str
    inputs: list[dict[str, np.ndarray]]
    target: str
    server: psutil.Process
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)  # Milliseconds of the server's process a request.
    answered: dict[str, list[float]] = field(default_factory=dict)  # Share of the requests.

    def __post_init__(self) -> None:
        self.requests = [models.serialized(MODEL, self.signature, self.output, inputs) for inputs in self.inputs]

    def block(self, kind: str, wanted: load.Load, *, keep: bool = True) -> None:
        before = cpu_of(self.server)
        measured = load.run(wanted, self.requests)
        spent = cpu_of(self.server) - before
        if keep:
            self.milliseconds.setdefault(kind, []).extend(measured.good)
            self.cpu.setdefault(kind, []).append(spent * 1e3 / max(1, len(measured.good)))
            self.answered.setdefault(kind, []).append(len(measured.good) / max(1, len(measured.code)))

    def p(self, kind: str, percent: float) -> float:
        return float(np.percentile(self.milliseconds[kind], percent))


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def ways_of(
    stack: ExitStack, folder: Path, batches: Sequence[Sequence[models.Impression]], *, xla: bool
) -> Iterator[Way]:
    """Export the models, start a server over each, and yield the slowest way first."""

    def server_of(path: Path) -> tuple[str, psutil.Process]:
        server = stack.enter_context(serve_in_process(path, name=MODEL, require_index=False))
        return server.target, psutil.Process(server.pid)

    for fed_by, name, inputs_of in [
        ("strings", "tf.feature_column, strings", models.string_inputs),
        ("examples", BASELINE, models.example_inputs),
    ]:
        at = server_of(models.feature_column_model(folder / fed_by, warm=True, fed_by=fed_by))
        yield Way(name, "predict", "logistic", [inputs_of(rows) for rows in batches], *at)
    path, index = models.ctrkit_model(folder / "ctrkit", warm=True)
    at, ids = server_of(path), [index.ids(rows) for rows in batches]
    rank = [models.rank_inputs(one, index) for one in ids]
    yield Way("named", "named", "ctr", [models.named_inputs(one, index) for one in ids], *at)
    yield Way("packed", "serving_default", "ctr", [{"ids": one} for one in ids], *at)
    yield Way("rank", "rank", "ctr", rank, *at)
    if xla:
        path, _ = models.ctrkit_model(folder / "xla", warm=True, xla=True)
        yield Way("rank, XLA", "rank", "ctr", rank, *server_of(path))


def report(ways: Sequence[Way], kind: str) -> None:
    base = next(way for way in ways if way.name == BASELINE)
    print(f"\n{kind}\n")
    print("| way | p50, ms | p99, ms | server CPU a request, ms | request, KB | answered | p50 ratio | CPU ratio |")
    print("|---|---|---|---|---|---|---|---|")
    cpu = {way.name: statistics.median(way.cpu[kind]) for way in ways}
    for way in ways:
        print(
            f"| {way.name} | {way.p(kind, 50):.2f} | {way.p(kind, 99):.2f} | {cpu[way.name]:.2f} | "
            f"{len(way.requests[0]) / 1e3:.0f} | {statistics.mean(way.answered[kind]):.0%} | "
            f"{base.p(kind, 50) / way.p(kind, 50):.1f}x | {cpu[base.name] / cpu[way.name]:.1f}x |"
        )


def from_raw_values(ways: Sequence[Way], index: FeatureIndex, batches: Sequence[Sequence[models.Impression]]) -> None:
    """The caller's whole work: from raw values to scores, indexing (or building the examples) included."""
    ranking = next(way for way in ways if way.name == "rank")
    base = next(way for way in ways if way.name == BASELINE)
    users = {name for name in models.NAMES if models.is_user(name)}
    client, connection = Client(ranking.target, index=index), Connection(base.target)
    split = [
        ({n: rows[0][n] for n in users}, [{n: v for n, v in row.items() if n not in users} for row in rows])
        for rows in batches
    ]
    times: dict[str, list[float]] = {"ctrkit, Client.rank": [], base.name: []}
    for i in range(60):
        rows, (user, ads) = batches[i % len(batches)], split[i % len(batches)]
        start = time.perf_counter()
        client.rank(user, {}, ads)
        middle = time.perf_counter()
        connection.predict("predict", models.example_inputs(rows), ["logistic"])
        times["ctrkit, Client.rank"].append((middle - start) * 1e3)
        times[base.name].append((time.perf_counter() - middle) * 1e3)
    print("\n| from raw values to scores, caller in Python | p50, ms |\n|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.2f} |")


def first_requests(folder: Path, batches: Sequence[Sequence[models.Impression]], starts: int) -> None:
    """A freshly started server's first request beside its warm ones."""
    print(f"\nFirst request after load, median of {starts} fresh servers a way\n")
    print("| way | warmup | first, ms | warm p50, ms | first / warm |\n|---|---|---|---|---|")
    path, index = models.ctrkit_model(folder / "ctrkit", warm=True)
    ids = index.ids(batches[0])
    base = models.feature_column_model(folder / "feature_column", warm=True)
    for name, exported, signature, output, inputs in [
        (BASELINE, base, "predict", "logistic", models.example_inputs(batches[0])),
        ("packed", path, "serving_default", "ctr", {"ids": ids}),
        ("rank", path, "rank", "ctr", models.rank_inputs(ids, index)),
    ]:
        for warmup in (True, False):
            firsts, warms = [], []
            for _ in range(starts):
                with (
                    serve_in_process(exported, require_index=False, warmup=warmup) as server,
                    Connection(server.target) as connection,
                ):
                    connection.status()  # Connecting is not the model's doing.
                    spent = []
                    for _ in range(51):
                        start = time.perf_counter()
                        connection.predict(signature, inputs, [output], deadline=60)
                        spent.append((time.perf_counter() - start) * 1e3)
                firsts.append(spent[0])
                warms.append(statistics.median(spent[1:]))
            first, warm = statistics.median(firsts), statistics.median(warms)
            shown = "replayed" if warmup else "skipped"
            print(f"| {name} | {shown} | {first:.1f} | {warm:.2f} | {first / warm:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way and kind of load in a round")
    parser.add_argument("--starts", type=int, default=3, help="fresh servers for the first request; 0 skips that table")
    parser.add_argument("--no-xla", action="store_true", help="leave out the compiled form")
    parser.add_argument("--plot", type=Path, default=Path("artifacts/benchmarks/serving.png"), help="the chart")
    options = parser.parse_args()
    tf.get_logger().setLevel("ERROR")  # tf.feature_column warns of its deprecation hundreds of times.
    batches = [models.impressions(models.CANDIDATES, seed) for seed in range(10, 18)]
    open_loop = {"phases": ((RATE, options.seconds),), "deadline": 1.0}
    kinds: dict[str, dict[str, Any]] = {
        "1 connection": {"connections": 1, "seconds": options.seconds},
        "4 connections": {"connections": 4, "seconds": options.seconds},
        f"open loop, {RATE:.0f} requests a second": open_loop,
    }
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        ways = list(ways_of(stack, Path(directory), batches, xla=not options.no_xla))
        for way in ways:
            way.block("warm", load.Load(target=way.target, seconds=1.0, connections=4), keep=False)
        for _ in range(options.rounds):
            for kind, settings in kinds.items():
                for way in ways:
                    way.block(kind, load.Load(target=way.target, **settings))
        print(f"{models.CANDIDATES} candidates, {options.rounds} rounds of {options.seconds:g} s, taking turns")
        for kind in kinds:
            report(ways, kind)
        ordered = list(reversed(ways))
        ordered.sort(key=lambda way: way.name != "rank")
        one = "1 connection"
        panels = {
            "round trip, p50": {way.name: way.p(one, 50) for way in ordered},
            "server CPU a request": {way.name: statistics.median(way.cpu[one]) for way in ordered},
        }
        headline = f"Ranking {models.CANDIDATES} candidates over loopback"
        draw_bars(options.plot, panels, headline=headline, unit="ms", digits=1)
        from_raw_values(ways, models.index_of(), batches)
        stack.close()
        if options.starts:
            first_requests(Path(directory) / "starts", batches, options.starts)


if __name__ == "__main__":
    main()
