"""Measure how fast a raw log becomes an index and records, and how its peak memory grows with the rows.

    python experiments/benchmarks/preparing.py [--rows 1000000] [--times 5] [--rounds 3]

The log is made first: Criteo's shape (13 integers, 26 heavy-tailed categories), tab-separated. Each round prepares
it, and one `--times` as long, in a process of its own; medians are shown. `--crosses` adds the crosses of
conf/schema/criteo.yaml. Imports are not counted. A few minutes and 3 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def measure(log: Path, work_dir: Path, *, crosses: bool) -> dict[str, float]:
    """Prepare `log` in this process and return rows/s, CPU seconds and peak memory."""
    import pyarrow as pa
    import yaml

    from ctrkit.records import Split, prepare
    from ctrkit.schema import Schema

    pa.scalar(0)  # pyarrow imports pandas when it first converts a value of Python.
    description = yaml.safe_load((ROOT / "conf" / "schema" / "criteo.yaml").read_text(encoding="utf-8"))
    if not crosses:
        columns = {name: one for name, one in description["features"].items() if one["kind"] != "cross"}
        description["features"] = columns
    schema = Schema.from_dict(description)
    before = time.process_time()
    began = time.perf_counter()
    prepared = prepare(schema, log, work_dir, split=Split(by="order", validation=0.1, test=0.1), force=True)
    seconds = time.perf_counter() - began
    return {
        "rows_per_second": sum(prepared.rows.values()) / seconds,
        "cpu_seconds": time.process_time() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the shorter log")
    parser.add_argument("--times", type=int, default=5, help="the longer log has so many times as many")
    parser.add_argument("--rounds", type=int, default=3, help="times that each log is prepared")
    parser.add_argument("--crosses", action="store_true", help="with four crosses besides the 39 columns")
    parser.add_argument(
        "--plot", type=Path, default=Path("artifacts/benchmarks/preparing.png"), help="where the chart goes"
    )
    parser.add_argument("--measure", nargs=2, metavar=("LOG", "WORK_DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        log, work_dir = map(Path, options.measure)
        print(json.dumps(measure(log, work_dir, crosses=options.crosses)))
        return

    from bars import draw_bars

    from ctrkit.datasets import criteo_shaped

    sizes = (options.rows, options.times * options.rows)
    found: dict[int, list[dict[str, float]]] = {rows: [] for rows in sizes}
    with tempfile.TemporaryDirectory() as directory:
        for rows in sizes:
            criteo_shaped(Path(directory) / f"{rows}.tsv", rows=rows)
        for _ in range(options.rounds):
            for rows in sizes:
                log, work_dir = Path(directory) / f"{rows}.tsv", Path(directory) / "work"
                command = [sys.executable, __file__, "--measure", str(log), str(work_dir)]
                command += ["--crosses"] if options.crosses else []
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found[rows].append(json.loads(output))
                shutil.rmtree(work_dir)
    median = {
        rows: {name: statistics.median(one[name] for one in found[rows]) for name in found[rows][0]} for rows in sizes
    }
    print("| rows | rows/s | CPU s per million rows | peak memory |\n|---|---|---|---|")
    for rows, one in median.items():
        cpu = one["cpu_seconds"] / rows * 1e6
        print(f"| {rows:,} | {one['rows_per_second']:,.0f} | {cpu:.1f} | {one['peak_mb']:,.0f} MB |")
    growth = median[sizes[1]]["peak_mb"] / median[sizes[0]]["peak_mb"]
    print(f"\n{options.times} times the rows take {growth:.2f} times the memory.")
    draw_bars(
        options.plot,
        {"rows/s": {f"{rows:,} rows": one["rows_per_second"] for rows, one in median.items()}},
        headline="From a raw log to index and records",
        unit=f"rows/s, median of {options.rounds}",
    )


if __name__ == "__main__":
    main()
