"""How many requests a second stay under a p99 of 10 ms, with one and with two server processes.

    python experiments/benchmarks/serving_capacity.py [--seconds 6] [--rounds 3] [--apart]

An open loop climbs through rates, one and two processes taking turns; a request ranks 100 candidates. The load
generator runs on the same cores, so its share is printed too, and so is what a server that answers without any work
gets: the part of each latency that belongs to gRPC, the generator and the machine. `--apart` gives the server one half
of the cores and the generator the other, as if each had a machine. About seven minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import load
import psutil
import serving_models as models
from bars import draw_bars
from naive_server import naive

from ctrkit.serving import serve_in_process

RATES = (100, 200, 300, 350, 400, 500)
WAYS = ("one process", "two processes", "no work")
BUDGET = 10.0  # Milliseconds of p99.


@contextmanager
def server_of(way: str, base: Path, workers: int) -> Iterator[tuple[str, int]]:
    """Target and process id of a server that answers this way."""
    if way == "no work":
        with naive(base, "--no-work") as (target, pid):
            yield target, pid
    else:
        with serve_in_process(base, processes=1 + WAYS.index(way), workers=workers) as server:
            yield server.target, server.pid


def cpu_of(pid: int) -> float:
    """CPU seconds of a server and of the processes that it started."""
    parent = psutil.Process(pid)
    times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    return sum(one.user + one.system for one in times)


@dataclass
class Rung:
    """What was measured of one way at one rate; an entry a round."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)  # Cores.
    generator: list[float] = field(default_factory=list)  # Cores.
    lost: int = 0

    @property
    def is_kept(self) -> bool:
        return statistics.median(self.p99) < BUDGET and not self.lost


def climb(base: Path, requests: list[bytes], seconds: float, rounds: int, apart: bool) -> dict[str, dict[int, Rung]]:
    """The ladder of each way."""
    for_server, cores = load.halves(apart=apart)
    ladders = {way: {rate: Rung() for rate in RATES} for way in WAYS}
    for _ in range(rounds):
        for way, ladder in ladders.items():
            with ExitStack() as stack:
                with load.on_cores(for_server):
                    target, pid = stack.enter_context(server_of(way, base, len(for_server)))
                load.run(load.Load(target=target, seconds=1.0, cores=cores), requests)
                for rate, rung in ladder.items():
                    before = cpu_of(pid)
                    wanted = load.Load(
                        target=target, phases=((rate, seconds),), connections=8, deadline=1.0, cores=cores
                    )
                    found = load.run(wanted, requests)
                    rung.p50.append(found.p(50))
                    rung.p99.append(found.p(99))
                    rung.server.append((cpu_of(pid) - before) / seconds)
                    rung.generator.append(found.generator_cpu / seconds)
                    rung.lost += int((found.code != 0).sum())
    return ladders


def report(ladders: dict[str, dict[int, Rung]]) -> None:
    print("| server | requests/s | p50 | p99 | not answered | cores: server | cores: generator |")
    print("|---|---|---|---|---|---|---|")
    for way, ladder in ladders.items():
        for rate, rung in ladder.items():
            middle = [statistics.median(values) for values in (rung.p50, rung.p99, rung.server, rung.generator)]
            print(
                f"| {way} | {rate} | {middle[0]:.1f} ms | {middle[1]:.1f} ms | {rung.lost} | {middle[2]:.2f} | "
                f"{middle[3]:.2f} |"
            )
    for way, ladder in ladders.items():
        kept = list(itertools.takewhile(lambda rate: ladder[rate].is_kept, RATES))  # noqa: B023
        print(f"{way}: {kept[-1] if kept else 0} requests a second stay under a p99 of {BUDGET:g} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--apart", action="store_true", help="half of the cores each for server and generator")
    parser.add_argument(
        "--plot", type=Path, default=Path("artifacts/benchmarks/serving_capacity.png"), help="the chart"
    )
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as directory:
        exported, requests = models.rank_requests(Path(directory))
        ladders = climb(exported.parent, requests, options.seconds, options.rounds, options.apart)
    print(f"\n{models.CANDIDATES} candidates a request, medians of {options.rounds} rounds of {options.seconds:g} s\n")
    report(ladders)
    panels = {
        way: {f"{rate}/s": statistics.median(rung.p99) for rate, rung in ladder.items()}
        for way, ladder in ladders.items()
    }
    draw_bars(options.plot, panels, headline="p99 of 100 candidates by requests a second", unit="ms", digits=1)


if __name__ == "__main__":
    main()
