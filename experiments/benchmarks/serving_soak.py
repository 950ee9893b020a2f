"""Ask one server 200,000 times while its model is switched 50 times, and watch its memory.

    python experiments/benchmarks/serving_soak.py [--requests 200000] [--switches 50]

Each signature takes part, candidates from 1 to 1,000. Memory is the server's resident set, read once a second; the
figure is the median of the last quarter over that of the second. About fifteen minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import load
import numpy as np
import psutil
import serving_models as models
from serving_switch import publish

from ctrkit.analysis import canvas
from ctrkit.atomic import atomic_file
from ctrkit.serving import serve_in_process

SIZES = (1, 7, 10, 100, 100, 100, 100, 333, 1000)  # Candidates a request, in turn.
CONNECTIONS = 4


def requests_of(exported: Path, index: models.FeatureIndex) -> list[bytes]:
    found = []
    for seed, size in enumerate(SIZES):
        ids = index.ids(models.impressions(size, seed))
        found.append(models.serialized("ctr", "rank", "ctr", models.rank_inputs(ids, index)))
        if size <= 100:
            found.append(models.serialized("ctr", "serving_default", "ctr", {"ids": ids}))
        if size <= 10:
            found.append(models.serialized("ctr", "named", "ctr", models.named_inputs(ids, index)))
    return found


def draw(path: Path, minutes: list[float], megabytes: list[float], switched: list[float]) -> None:
    figure = canvas.new_figure(width=8.0, height=3.6)
    axes = figure.subplots()
    axes.plot(minutes, megabytes, color=canvas.BLUE, linewidth=1.5)
    for at in switched:
        axes.axvline(at, color=canvas.GREY, linewidth=0.5)
    axes.set_ylim(bottom=0)
    canvas.dress(axes, x="minutes (a line: the model was switched)", y="resident memory, MB")
    figure.suptitle("A server's memory under requests and switches", fontsize=canvas.TITLE_SIZE, fontweight="bold")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=canvas.SCREEN_DPI)
    print(f"chart: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--switches", type=int, default=50)
    parser.add_argument("--plot", type=Path, default=Path("artifacts/benchmarks/serving_soak.png"), help="the chart")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory) / "served"
        exported, index = models.ctrkit_model(Path(directory) / "export", warm=True)
        publish(exported, base, 1)
        requests = requests_of(exported, index)
        with serve_in_process(base, poll_every=0.2) as server:
            process, begin, stop = psutil.Process(server.pid), time.monotonic(), threading.Event()
            minutes: list[float] = []
            megabytes: list[float] = []
            switched: list[float] = []

            def watch() -> None:
                while not stop.wait(1.0):
                    minutes.append((time.monotonic() - begin) / 60)
                    megabytes.append(process.memory_info().rss / 1e6)

            threading.Thread(target=watch, daemon=True).start()
            sent = failed = 0
            versions: set[int] = set()
            pace = 0.0
            for part in range(options.switches):
                # As long as its share of the requests takes, told by the parts before it.
                share = (options.requests - sent) / (options.switches - part)
                seconds = 10.0 if pace == 0.0 else share / pace
                wanted = load.Load(target=server.target, seconds=seconds, connections=CONNECTIONS, deadline=30.0)
                running = load.Running(wanted, requests)
                time.sleep(seconds / 2)
                publish(exported, base, part + 2)
                shutil.rmtree(base / str(part), ignore_errors=True)
                switched.append((time.monotonic() - begin) / 60)
                found = running.result()
                sent, failed = sent + len(found.code), failed + int((found.code != 0).sum())
                versions |= set(found.version[found.code == 0].tolist())
                pace = len(found.code) / seconds
                print(f"switch {part + 1:>3}: {sent:>9,} sent, {failed} failed, {megabytes[-1]:.0f} MB", flush=True)
            stop.set()
        quarters = np.array_split(np.array(megabytes), 4)
        second, last = statistics.median(quarters[1]), statistics.median(quarters[3])
        print(f"\n{sent:,} requests, {failed} failed, {len(versions)} versions answered.")
        print(f"Memory: second quarter {second:.0f} MB, last quarter {last:.0f} MB: {last / second - 1:+.1%}")
        draw(options.plot, minutes, megabytes, switched)


if __name__ == "__main__":
    main()
