"""Switch a served model 20 times under an open loop of 100 requests a second, beside the naive way of switching.

    python experiments/benchmarks/serving_switch.py [--switches 20] [--rate 100] [--every 2]

Latency counts from the moment a request was due. "During" is from the moment a version's folder appears until half a
second after the first answer of that version; "before" is everything else. The two servers take turns, a quarter of the
switches at a time. About five minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import load
import numpy as np
import serving_models as models
from bars import draw_bars
from naive_server import naive

from ctrkit.serving import serve_in_process

AFTER = 0.5  # Seconds after the first answer of a version that still count as its switch.
PARTS = 4


def publish(exported: Path, base: Path, version: int) -> float:
    """Make a copy of an export appear as a version, whole; returns when (monotonic seconds)."""
    staged = base / f".{version}.incomplete"
    shutil.copytree(exported, staged)
    staged.rename(base / str(version))
    return time.monotonic()


@contextmanager
def ours(base: Path) -> Iterator[tuple[str, int]]:
    with serve_in_process(base, poll_every=0.2) as server:
        yield server.target, server.pid


def some_switches(
    target: str, base: Path, exported: Path, requests: list[bytes], *, first: int, count: int, rate: float, every: float
) -> tuple[load.Measured, list[tuple[int, float]]]:
    """Load a server while versions `first` and on appear, one each `every` seconds; returns also when each appeared."""
    wanted = load.Load(target=target, phases=((rate, (count + 1) * every),), deadline=30.0)
    running = load.Running(wanted, requests)
    appeared = []
    begin = time.monotonic() + 1.0  # The generator's own start.
    for i in range(count):
        time.sleep(max(0.0, begin + (i + 0.5) * every - time.monotonic()))
        appeared.append((first + i, publish(exported, base, first + i)))
        shutil.rmtree(base / str(first + i - 2), ignore_errors=True)
    return running.result(), appeared


def split(measured: load.Measured, appeared: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray, int]:
    """Milliseconds before and during switches, and how many of the new versions answered."""
    during = np.zeros(len(measured.due), dtype=bool)
    answered = 0
    for version, at in appeared:
        mine = measured.due[measured.version >= version]
        answered += len(mine) > 0
        until = (mine.min() if len(mine) else at + 5.0) + AFTER
        during |= (measured.due >= at) & (measured.due < until)
    good = measured.code == 0
    return measured.milliseconds[good & ~during], measured.milliseconds[good & during], answered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=20, help="of each server; a multiple of 4")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--every", type=float, default=3.0, help="seconds from one switch to the next")
    parser.add_argument("--plot", type=Path, default=Path("artifacts/benchmarks/serving_switch.png"), help="the chart")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        exported, requests = models.rank_requests(folder)
        before: dict[str, list[np.ndarray]] = {"ctrkit": [], "naive": []}
        during: dict[str, list[np.ndarray]] = {"ctrkit": [], "naive": []}
        failed, sent, answered = dict.fromkeys(before, 0), dict.fromkeys(before, 0), dict.fromkeys(before, 0)
        for part in range(PARTS):
            for name, server in (("ctrkit", ours), ("naive", naive)):
                base = folder / f"{name}-{part}"
                publish(exported, base, 1)
                with server(base) as (target, _):
                    load.run(load.Load(target=target, seconds=1.0), requests)  # Connections and caches.
                    measured, appeared = some_switches(
                        target, base, exported, requests,
                        first=2, count=options.switches // PARTS, rate=options.rate, every=options.every,
                    )  # fmt: skip
                calm, switching, count = split(measured, appeared)
                before[name].append(calm)
                during[name].append(switching)
                answered[name] += count
                failed[name] += int((measured.code != 0).sum())
                sent[name] += len(measured.code)
                shutil.rmtree(base)
    print(
        f"\n{options.switches} switches under {options.rate:g} requests a second, {models.CANDIDATES} candidates each\n"
    )
    print("| server | versions that answered | sent | failed | p99 before | p99 during | ratio | longest during |")
    print("|---|---|---|---|---|---|---|---|")
    panels: dict[str, dict[str, float]] = {"p99 between switches": {}, "p99 during switches": {}}
    for name in before:
        calm, switching = np.concatenate(before[name]), np.concatenate(during[name])
        p99s = float(np.percentile(calm, 99)), float(np.percentile(switching, 99))
        print(
            f"| {name} | {answered[name]} of {options.switches} | {sent[name]:,} | {failed[name]} | {p99s[0]:.1f} ms | "
            f"{p99s[1]:.1f} ms | {p99s[1] / p99s[0]:.2f} | {switching.max():.0f} ms |"
        )
        for panel, value in zip(panels.values(), p99s, strict=True):
            panel[name] = value
    draw_bars(options.plot, panels, headline="Latency while a model is switched", unit="ms", digits=1)


if __name__ == "__main__":
    main()
