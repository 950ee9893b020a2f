"""Kill the driver, an executor or a Python process of a Spark job at random moments, and compare what is written.

    PYTHONPATH=. python experiments/benchmarks/spark_faults.py [--kills 10] [--seed 0] [--rows 200000]

The cluster is Spark's standalone one on loopback: a master and two workers of one core. Each job loses one process to
`kill -9`, at a random moment of the time that an undisturbed one takes, and is run again where it did not survive.
Index, records and prepared.json are compared byte by byte with what the local engine made.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ctrkit.records import PrepareOptions, Split, WriterOptions, prepare
from tests.records.engine_contract import contents, impressions, schema_of, write_text
from tests.records.spark_processes import OPTIONS, VICTIMS, SparkCluster, kill_one


def timed(job: subprocess.Popen[str]) -> tuple[float, int]:
    """Seconds until a job ended, and its status."""
    started = time.monotonic()
    job.communicate()
    return time.monotonic() - started, job.returncode


def disturbed(cluster: SparkCluster, log: Path, work: Path, victim: str, delay: float) -> str:
    """Run a job, kill `victim` after `delay` seconds, run it again where it failed; says what happened."""
    job = cluster.job(log, work)
    goal = time.monotonic() + delay
    killed = False
    while job.poll() is None and not killed:
        time.sleep(0.05)
        killed = time.monotonic() >= goal and kill_one(cluster, job, victim)
    job.communicate()
    if not killed:
        return "ended before"
    if job.returncode == 0:
        return "survived"
    return "run again" if timed(cluster.job(log, work))[1] == 0 else "FAILED AGAIN"


def measure(kills: int, seed: int, rows: int, folder: Path) -> list[dict[str, Any]]:
    """One row a kill."""
    log = write_text(folder / "log.csv", impressions(rows))
    writer = WriterOptions(shard_rows=OPTIONS["shard_rows"])
    options = PrepareOptions(chunk_bytes=OPTIONS["chunk_bytes"], writer=writer)
    local = prepare(schema_of("csv"), log, folder / "local", split=Split(by="time"), options=options)
    expected, found = contents(local.work_dir), []
    with SparkCluster(folder / "cluster") as cluster:
        whole, status = timed(cluster.job(log, folder / "first"))
        equal = status == 0 and contents(folder / "first") == expected
        print(f"undisturbed: {whole:.0f} s, status {status}, equal: {equal}", flush=True)
        draw = random.Random(seed)
        for number in range(kills):
            victim, delay = draw.choice(VICTIMS), draw.uniform(0.05, 0.95) * whole
            work = folder / f"work-{number}"
            happened = disturbed(cluster, log, work, victim, delay)
            equal = (work / "prepared.json").exists() and contents(work) == expected
            left = [path.name for path in work.glob(".*")]
            one = {"victim": victim, "after": round(delay, 1), "happened": happened, "equal": equal, "left": left}
            print(json.dumps(one), flush=True)
            found.append(one)
            shutil.rmtree(work, ignore_errors=True)
    return found


def main() -> None:
    """Print one line a kill; the status is 1 where an output differed."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=10)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--rows", type=int, default=200_000)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given.kills, given.seed, given.rows, Path(folder))
    bad = [one for one in found if not one["equal"] or one["left"]]
    print(f"{len(found) - len(bad)} of {len(found)} outputs are the undisturbed one's, with nothing left over")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
