"""A vocabulary of ten million values: how it is built, how it opens, what it takes, and that every row is right.

    python experiments/benchmarks/index_scale.py [--values 10000000]

Opened in a fresh process that has already imported the client. Resident memory counts pages of the file that the
kernel keeps anyway and gives up when it needs them; "proportional" shares them among the processes that map the file
(two here), "private" is what the process alone has. Every value is looked up and compared with the place at which the
builder put it, which comes from PyArrow's sort and not from the hash table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ctrkit.indexing import FeatureIndex
from ctrkit.schema import Categorical, Schema

FIELD = "user"
TOUCHED = 100_000
OPENED = """
import json, os, random, sys, time
import numpy as np
from ctrkit.serving.client import load_index
def memory():
    lines = (line.split() for line in open("/proc/self/smaps_rollup").readlines()[1:])
    found = {words[0][:-1]: int(words[1]) / 1024 for words in lines}
    return {"resident": found["Rss"], "proportional": found["Pss"], "private": found["Private_Dirty"]}
path, count, touched = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(0)
values = ["m%010d" % (draw.randrange(count) * 997) for _ in range(touched)]
before, began = memory(), time.perf_counter()
index = load_index(path)
found = {"opened": time.perf_counter() - began}
row = index.ids([{"user": "m0000000000"}])[0, 0]
found["first lookup"] = time.perf_counter() - began - found["opened"]
def added():
    return {name: value - before[name] for name, value in memory().items()}
found["after opening"] = added()
rank, began = index.vocabularies["user"].rank, time.process_time()
for value in values:
    rank(value)
found["each, cold"] = (time.process_time() - began) / touched
began = time.process_time()
for value in values:
    rank(value)
found["each, again"] = (time.process_time() - began) / touched
found["after touching"] = added()
print(json.dumps(found), flush=True)
sys.stdin.read()
"""


def values(count: int) -> tuple[object, np.ndarray]:
    """Distinct values in an arbitrary order and how often each was seen."""
    import pyarrow as pa

    draw = np.random.default_rng(0)
    numbers = draw.permutation(count) * 997
    return pa.array([f"m{number:010d}" for number in numbers.tolist()], pa.large_string()), draw.zipf(1.5, count).clip(
        max=10**9
    )


def evict(path: Path) -> None:
    """Ask the kernel to forget the files' pages, so that opening reads them from the disk again."""
    for file in path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def opened(path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPENED, str(path), str(count), str(TOUCHED)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> dict:
    assert process.stdout is not None
    found: dict = json.loads(process.stdout.readline())
    return found


def ended(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate("")


def compare_all(index: FeatureIndex, given: object, counts: np.ndarray) -> int:
    """Rows that differ from the builder's order, which is found here by PyArrow's sort: by count, then by value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table({"value": given, "count": counts})
    order = pc.sort_indices(table, sort_keys=[("count", "descending"), ("value", "ascending")])
    ranked, wrong = table["value"].combine_chunks().take(order), 0
    first = 1 + index[FIELD].oov
    for start in range(0, len(ranked), 1_000_000):
        part = ranked.slice(start, 1_000_000).to_pylist()
        rows = first + index.vocabularies[FIELD].ranks(part)
        wrong += int((rows != first + np.arange(start, start + len(part))).sum())
    sample = np.random.default_rng(1).integers(0, len(ranked), 20_000)
    one_by_one = index.ids([{FIELD: ranked[int(k)].as_py()} for k in sample])[:, 0]
    return wrong + int((one_by_one != first + sample).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--values", type=int, default=10_000_000)
    count = parser.parse_args().values
    from ctrkit.indexing.build import learn_vocabulary

    feature = Categorical(name=FIELD, side="user")
    given, counts = values(count)
    with tempfile.TemporaryDirectory() as folder:
        path, began = Path(folder) / "index", time.process_time()
        vocabulary = learn_vocabulary(feature, given, counts)  # type: ignore[arg-type]
        learned = time.process_time() - began
        FeatureIndex(Schema(label="y", features=(feature,)), {FIELD: vocabulary}, {}).save(path)
        saved = time.process_time() - began - learned
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        del vocabulary
        evict(path)
        cold = opened(path, count)
        from_disk = told(cold)
        warm = opened(path, count)
        found = told(warm)
        began = time.perf_counter()
        index = FeatureIndex.load(path, verify=True)
        verified = time.perf_counter() - began
        wrong = compare_all(index, given, counts)
        ended(cold, warm)
    print(
        f"{count:,} values, {size / 1e6:,.0f} MB on disk; seconds of CPU: {learned:.1f} to learn, {saved:.1f} to write"
    )
    print(f"rows that differ from the builder's: {wrong}")
    print(f"read through and compared with its digest: {verified:.2f} s")
    print(f"{'':38} {'from disk':>12} {'in page cache':>14}")
    for name, unit, scale in (
        ("opened", "s", 1),
        ("first lookup", "ms", 1e3),
        ("each, cold", "us", 1e6),
        ("each, again", "us", 1e6),
    ):
        print(f"{name + ', ' + unit:38} {from_disk[name] * scale:>12.3f} {found[name] * scale:>14.3f}")
    for name in ("after opening", "after touching"):
        for kind in ("resident", "proportional", "private"):
            title = f"{name}{f' {TOUCHED:,}' if name.endswith('touching') else ''}, {kind}, MB"
            print(f"{title:38} {from_disk[name][kind]:>12.1f} {found[name][kind]:>14.1f}")


if __name__ == "__main__":
    main()
