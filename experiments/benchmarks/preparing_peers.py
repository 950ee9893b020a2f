"""Measure preparing side by side: ctrkit on this machine and on Spark, pandas with scikit-learn, FuxiCTR.

    python experiments/benchmarks/preparing_peers.py [--rows 1000000] [--rounds 3] [--fuxictr /tmp/fuxi/bin/python]

One log of Criteo's shape (13 integers, 26 heavy-tailed categories) is made, once tab-separated and once with commas and
names for those that ask for it. In each round every way prepares it in a process of its own, in another order each
round; medians are shown. Counted is from the log to records on disk, without imports; peak memory is that of the
process and all that it started. `--fuxictr` is the interpreter of an environment of its own:

    python -m venv /tmp/fuxi && /tmp/fuxi/bin/pip install fuxictr setuptools

1M rows take some ten minutes a round, most of them for a tf.Example a row. `--ways local,fuxictr` takes some.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from process_tree import measured

ROOT, HERE = Path(__file__).resolve().parents[2], Path(__file__).resolve().parent
WAYS = {
    "local": "ctrkit, this machine",
    "spark": "ctrkit, Spark local[2]",
    "pandas": "pandas + scikit-learn, a tf.Example a row (as DeepCTR documents)",
    "fuxictr": "FuxiCTR: FeatureProcessor, build_dataset",
}
ASKED = {"pandas": 5.0, "fuxictr": 3.0}  # Times as fast as them.


def prepare_here(log: Path, folder: Path, engine: str) -> None:
    """Prepare in this process and print how long it took."""
    import pyarrow as pa
    import yaml

    from ctrkit.records import Split, prepare
    from ctrkit.schema import Schema

    pa.scalar(0)  # pyarrow imports pandas when it first converts a value of Python.
    description = yaml.safe_load((ROOT / "conf" / "schema" / "criteo.yaml").read_text(encoding="utf-8"))
    features = description["features"].items()
    description["features"] = {name: one for name, one in features if one["kind"] != "cross"}  # Peers have none.
    more: dict[str, Any] = {}
    if engine == "spark":
        from ctrkit.records import SparkEngine, SparkOptions

        more["engine"] = SparkEngine(SparkOptions(master="local[2]"))
    began = time.perf_counter()
    prepared = prepare(
        Schema.from_dict(description), log, folder, split=Split(by="order", validation=0, test=0), force=True, **more
    )
    seconds = time.perf_counter() - began
    written = sum(path.stat().st_size for path in prepared.work_dir.rglob("*.tfrecord"))
    print(json.dumps({"seconds": seconds, "bytes_written": written}))


def command_of(way: str, folder: Path, fuxictr: str | None) -> list[str]:
    """What runs one way in a process of its own."""
    out = str(folder / f"work-{way}")
    if way in ("local", "spark"):
        return [sys.executable, __file__, "--prepare", way, str(folder / "log.tsv"), out]
    if way == "pandas":
        return [sys.executable, str(HERE / "pandas_way.py"), str(folder / "log.csv"), out]
    return [str(fuxictr), str(HERE / "fuxictr_way.py"), str(folder / "log.csv"), out]


def can(way: str, fuxictr: str | None) -> str | None:
    """Why a way cannot be measured here; None where it can."""
    if way == "spark":
        try:
            from ctrkit.records import SparkEngine  # noqa: F401
        except ImportError:
            return "this ctrkit has no engine for Spark"
        if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
            return "no java"
    if way == "fuxictr" and fuxictr is None:
        return "no --fuxictr PYTHON"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--fuxictr", help="interpreter that has fuxictr")
    parser.add_argument("--folder", type=Path, help="keep the logs here for another run")
    parser.add_argument("--prepare", nargs=3, metavar=("ENGINE", "LOG", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare is not None:
        engine, log, folder = options.prepare
        prepare_here(Path(log), Path(folder), engine)
        return
    found: dict[str, list[dict[str, float]]] = {}
    for way in options.ways.split(","):
        reason = can(way, options.fuxictr)
        if reason is None:
            found[way] = []
        else:
            print(f"{WAYS[way]}: left out ({reason})")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.folder is None else options.folder
        make_logs(folder, options.rows)
        for number in range(options.rounds):
            for way in random.Random(number).sample(sorted(found), len(found)):
                try:
                    found[way].append(measured(command_of(way, folder, options.fuxictr)))
                    print(f"{WAYS[way]}: {options.rows / found[way][-1]['seconds']:,.0f} rows/s", flush=True)
                except subprocess.CalledProcessError as error:
                    print(f"{WAYS[way]}: failed: {(error.stderr or error.stdout)[-2000:]}")
                shutil.rmtree(folder / f"work-{way}", ignore_errors=True)
    show({way: many for way, many in found.items() if many}, options.rows)


def make_logs(folder: Path, rows: int) -> None:
    from ctrkit.datasets import criteo_shaped

    folder.mkdir(parents=True, exist_ok=True)
    for name, header in (("log.tsv", False), ("log.csv", True)):
        if not (folder / name).exists():
            criteo_shaped(folder / name, rows=rows, header=header)


def show(found: dict[str, list[dict[str, float]]], rows: int) -> None:
    """Print the table, and how many times as fast the local engine is."""
    median = {way: {key: statistics.median(one[key] for one in many) for key in many[0]} for way, many in found.items()}
    print("| way | rows/s | CPU s per million rows | peak memory | written |\n|---|---|---|---|---|")
    for way, one in median.items():
        cells = (f"{rows / one['seconds']:,.0f}", f"{one['cpu_seconds'] / rows * 1e6:.1f}")
        print(
            f"| {WAYS[way]} | {' | '.join(cells)} | {one['peak_mb']:,.0f} MB | {one['bytes_written'] / 1e6:,.0f} MB |"
        )
        if "encoded_seconds" in one:
            print(f"| … of it the encoding alone | {rows / one['encoded_seconds']:,.0f} | | | |")
    for way in median:
        if "local" in median and way != "local":
            times = median[way]["seconds"] / median["local"]["seconds"]
            asked = f" (asked: {ASKED[way]:.0f})" if way in ASKED else ""
            print(f"local is {times:.1f} times as fast as {WAYS[way]}{asked}")


if __name__ == "__main__":
    main()
