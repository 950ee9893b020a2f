"""Send a server three times the requests that it can keep up with, and watch the seconds before, during and after.

    python experiments/benchmarks/serving_overload.py [--sustained 300] [--seconds 30] [--apart]

An open loop: eight tenths of the sustainable rate, three times of it, and eight tenths again, without a pause between;
a request ranks 100 candidates. `--apart` gives the server one half of the cores and the generator the other, as if each
had a machine: else a flood takes the server's time before a request has reached it. About one minute.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import grpc
import load
import numpy as np
import serving_models as models
from bars import draw_bars

from ctrkit.serving import serve_in_process
from ctrkit.serving.options import LimitOptions, ServingOptions

NORMAL = 0.8  # Of the sustainable rate.
TIMES = 3
CALM = 8.0  # Seconds before and after.
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def line(name: str, found: load.Measured) -> str:
    refused = found.milliseconds[found.code != 0]
    quick = f"{np.percentile(refused, 50):.1f} | {np.percentile(refused, 99):.1f}" if len(refused) else " | "
    return (
        f"| {name} | {len(found.code) / found.seconds:.0f} | {found.answered:.0f} | {found.p(50):.1f} | "
        f"{found.p(99):.1f} | {len(refused) / len(found.code):.0%} | {quick} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sustained", type=float, default=300.0, help="requests a second, of serving_capacity.py")
    parser.add_argument("--max-queue", type=int, help="requests that may wait for a worker")
    parser.add_argument("--apart", action="store_true", help="half of the cores each for server and generator")
    parser.add_argument("--seconds", type=float, default=30.0, help="of overload")
    parser.add_argument("--processes", type=int, default=1, help="of the server")
    parser.add_argument(
        "--plot", type=Path, default=Path("artifacts/benchmarks/serving_overload.png"), help="the chart"
    )
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    normal, flood = options.sustained * NORMAL, options.sustained * TIMES
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        exported, requests = models.rank_requests(Path(directory))
        for_server, cores = load.halves(apart=options.apart)
        with load.on_cores(for_server):
            limits = LimitOptions(max_queue=options.max_queue)
            served = ServingOptions(processes=options.processes, workers=len(for_server), limits=limits)
            server = stack.enter_context(serve_in_process(exported.parent, served))
        load.run(load.Load(target=server.target, seconds=2.0, cores=cores), requests)
        phases = ((normal, CALM), (flood, options.seconds), (normal, CALM))
        found = load.run(load.Load(target=server.target, phases=phases, connections=8, cores=cores), requests)
    end = CALM + options.seconds
    parts = {
        "before": found.between(0, CALM),
        "overload": found.between(CALM, end),
        "the first second after": found.between(end, end + 1),
        "from the second second": found.between(end + 1, end + CALM),
    }
    print(f"\n{options.sustained:g} requests a second is what the server keeps; {models.CANDIDATES} candidates each\n")
    print("| | sent/s | answered/s | p50, ms | p99, ms | refused | refused: p50, ms | refused: p99, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name, part in parts.items():
        print(line(name, part))
    ratio = parts["overload"].p(99) / parts["before"].p(99)
    back = parts["from the second second"].p(99) / parts["before"].p(99)
    print(f"\np99 of the answered: {ratio:.1f}x of before under overload, {back:.1f}x from one second after it.")
    print(f"Statuses: {dict(Counter(CODES[int(code)] for code in found.code))}")
    print(f"The generator took {found.generator_cpu / found.seconds:.2f} cores.")
    panels = {"p99 of the answered": {name: part.p(99) for name, part in parts.items()}}
    draw_bars(options.plot, panels, headline=f"{TIMES}x the sustainable rate", unit="ms", digits=1)


if __name__ == "__main__":
    main()
