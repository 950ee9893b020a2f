"""Measure whether preparing keeps its speed and its memory as the log grows, and whether a killed run goes on.

    python experiments/benchmarks/preparing_scale.py [--rows 1000000 10000000] [--folder /tmp/scale]
    python experiments/benchmarks/preparing_scale.py --rows 1000000 10000000 100000000 --folder /tmp/scale --kill

Each log has Criteo's shape and is one tab-separated file from one seed (some 245 bytes a row), streamed to disk in
blocks; the rows of a shorter one are the first of a longer one, so that vocabularies grow as they do in a real log.
Each size is prepared in a process of its own, `--rounds` times; medians are shown, imports are not counted. `--kill`
stops the largest run with SIGKILL when it has read half of the log, and once more while it writes, and shows what the
runs after took over.

100M rows need 58 GB of disk (25 of them the log, which `--folder` keeps) and, on two quiet cores, some 20 minutes to
make the log and 7 to prepare it once; `--kill` takes 10 more. `--format tsv.gz` needs 44 GB and more time to read.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG_BYTES = {"tsv": 240, "tsv.gz": 105, "parquet": 110}  # Of a row.
WORK_BYTES = 340  # Of a row, at most at a time, while it is prepared.


def measure(log: Path, work_dir: Path) -> dict[str, float]:
    """Prepare `log` in this process; rows/s, CPU seconds, peak memory and pieces of the log read, now and before."""
    import pyarrow as pa
    import yaml

    from ctrkit.records import Split, prepare
    from ctrkit.records.local import LocalEngine
    from ctrkit.schema import Schema

    pa.scalar(0)  # pyarrow imports pandas when it first converts a value of Python.
    description = yaml.safe_load((ROOT / "conf" / "schema" / "criteo.yaml").read_text(encoding="utf-8"))
    features = description["features"].items()
    description["features"] = {name: one for name, one in features if one["kind"] != "cross"}
    if log.suffix == ".parquet":
        description["format"] = {"kind": "parquet"}
    engine, before, began = LocalEngine(), time.process_time(), time.perf_counter()
    split = Split(by="order", validation=0.1, test=0.1)
    prepared = prepare(Schema.from_dict(description), log, work_dir, split=split, engine=engine)
    seconds = time.perf_counter() - began
    return {
        "rows": sum(prepared.rows.values()),
        "seconds": seconds,
        "cpu_seconds": time.process_time() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pieces": engine.pieces_read,
        "pieces_before": engine.pieces_read_before,
    }


def run(log: Path, work_dir: Path, kill_when: str | None = None) -> dict[str, float] | None:
    """`measure` in a process of its own; with `kill_when` it is killed when its progress begins so, and None."""
    command = [sys.executable, __file__, "--measure", str(log), str(work_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        told: list[str] = []
        reader = threading.Thread(target=lambda: told.extend(child.stdout or ()), daemon=True)
        reader.start()
        for line in child.stderr:
            if "resuming" in line or kill_when is not None:
                print(f"  {line.rstrip()}", flush=True)
            if kill_when is not None and _reached(line, kill_when):
                child.send_signal(signal.SIGKILL)
                child.wait()
                return None
        reader.join()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    found: dict[str, float] = json.loads(told[-1])
    return found


def _reached(line: str, step: str) -> bool:
    """Whether a line of progress tells that half of a step is done."""
    share = line.removeprefix(f"{step}:").strip().split("%")[0]
    return line.startswith(f"{step}:") and share.isdigit() and int(share) >= 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--format", choices=LOG_BYTES, default="tsv")
    parser.add_argument("--folder", type=Path, help="keep the logs here for another run")
    parser.add_argument("--kill", action="store_true", help="kill a run of the largest log twice, and go on")
    parser.add_argument("--measure", nargs=2, metavar=("LOG", "WORK_DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(*map(Path, options.measure))))
        return

    from ctrkit.datasets import criteo_shaped

    found: dict[int, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.folder is None else options.folder
        folder.mkdir(parents=True, exist_ok=True)
        for rows in sorted(options.rows):
            log, work_dir = folder / f"{rows}.{options.format}", folder / "work"
            needed = rows * (WORK_BYTES + (0 if log.exists() else LOG_BYTES[options.format]))
            if shutil.disk_usage(folder).free < needed:
                sys.exit(f"{rows:,} rows need {needed / 1e9:.0f} GB free in {folder}.")
            if not log.exists():
                criteo_shaped(log, rows=rows)
            for _ in range(options.rounds):
                shutil.rmtree(work_dir, ignore_errors=True)
                one = run(log, work_dir)
                assert one is not None
                found.setdefault(rows, []).append(one)
                print(f"{rows:,} rows: {one['rows'] / one['seconds']:,.0f} rows/s", flush=True)
        shutil.rmtree(work_dir, ignore_errors=True)
        show(found)
        if options.kill:
            for step in ("reading", "writing"):
                print(f"killed when half of {step} is done:")
                assert run(log, work_dir, kill_when=step) is None
            again = run(log, work_dir)
            assert again is not None
            print(
                f"then: {again['pieces_before']:,.0f} pieces were read before, {again['pieces']:,.0f} now; "
                f"{again['seconds']:.0f} s instead of {statistics.median(one['seconds'] for one in found[rows]):.0f}"
            )
            shutil.rmtree(work_dir, ignore_errors=True)


def show(found: dict[int, list[dict[str, float]]]) -> None:
    """Print the table, the spread of the speeds and the highest memory."""
    speeds = {rows: statistics.median(one["rows"] / one["seconds"] for one in many) for rows, many in found.items()}
    print("| rows | rows/s | CPU s per million rows | peak memory |\n|---|---|---|---|")
    for rows, many in found.items():
        cpu = statistics.median(one["cpu_seconds"] / one["rows"] * 1e6 for one in many)
        peak = max(one["peak_mb"] for one in many)
        print(f"| {rows:,} | {speeds[rows]:,.0f} | {cpu:.1f} | {peak:,.0f} MB |")
    spread = max(speeds.values()) / min(speeds.values()) - 1
    print(f"\nThe fastest is {spread:.0%} faster than the slowest (asked: within 15%).")


if __name__ == "__main__":
    main()
