"""How many requests a second stay under a p99 of 10 ms, with one and with two server processes.

    python experiments/benchmarks/serving_capacity.py [--seconds 6] [--rounds 3]

An open loop climbs through rates, one and two processes taking turns; a request ranks 100 candidates. The load
generator runs on the same cores, so its share is printed too. About seven minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import Counter
from pathlib import Path

import load
import psutil
import serving_models as models
from bars import draw_bars

from ctrkit.serving import serve_in_process

RATES = (100, 200, 300, 350, 400, 450, 500, 600)
BUDGET = 10.0  # Milliseconds of p99.


def cpu_of(pid: int) -> float:
    """CPU seconds of a server and of the processes that it started."""
    parent = psutil.Process(pid)
    times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def climb(base: Path, requests: list[bytes], seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Print the ladder; returns the p99 of each number of processes by rate."""
    p99: dict[tuple[int, int], list[float]] = {}
    p50: dict[tuple[int, int], list[float]] = {}
    cores: dict[tuple[int, int], list[tuple[float, float]]] = {}
    lost: Counter[tuple[int, int]] = Counter()
    for _ in range(rounds):
        for processes in (1, 2):
            with serve_in_process(base, processes=processes) as server:
                load.run(load.Load(target=server.target, seconds=1.0), requests)
                for rate in RATES:
                    before = cpu_of(server.pid)
                    wanted = load.Load(target=server.target, phases=((rate, seconds),), connections=8, deadline=1.0)
                    found = load.run(wanted, requests)
                    key = processes, rate
                    p99.setdefault(key, []).append(found.p(99))
                    p50.setdefault(key, []).append(found.p(50))
                    server_cores = (cpu_of(server.pid) - before) / seconds
                    cores.setdefault(key, []).append((server_cores, found.generator_cpu / seconds))
                    lost[key] += int((found.code != 0).sum())
    print(f"\n{models.CANDIDATES} candidates a request, medians of {rounds} rounds of {seconds:g} s\n")
    print("| processes | requests/s | p50 | p99 | not answered | cores: server | cores: generator |")
    print("|---|---|---|---|---|---|---|")
    kept = {1: 0, 2: 0}
    broken = set()
    for key in sorted(p99):
        middle = statistics.median(p99[key])
        shares = [statistics.median(one[i] for one in cores[key]) for i in (0, 1)]
        if middle >= BUDGET or lost[key]:
            broken.add(key[0])
        elif key[0] not in broken:
            kept[key[0]] = key[1]
        print(
            f"| {key[0]} | {key[1]} | {statistics.median(p50[key]):.1f} ms | {middle:.1f} ms | {lost[key]} | "
            f"{shares[0]:.2f} | {shares[1]:.2f} |"
        )
    print(f"\nKept under a p99 of {BUDGET:g} ms: {kept[1]} a second by one process, {kept[2]} by two.")
    by_processes: dict[str, dict[str, float]] = {"one process": {}, "two processes": {}}
    for (processes, rate), values in sorted(p99.items()):
        by_processes["one process" if processes == 1 else "two processes"][f"{rate}/s"] = statistics.median(values)
    return by_processes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--plot", type=Path, default=Path("artifacts/benchmarks/serving_capacity.png"), help="the chart"
    )
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as directory:
        exported, requests = models.rank_requests(Path(directory))
        panels = climb(exported.parent, requests, options.seconds, options.rounds)
    draw_bars(options.plot, panels, headline="p99 of 100 candidates by requests a second", unit="ms", digits=1)


if __name__ == "__main__":
    main()
