"""What the client costs: import, packing a request, and indexing raw values beside the naive way.

    python experiments/benchmarks/client_cost.py

60 features of the user and the context, 60 of the ad and 20 hashed crosses of both, 100 ads a request. The naive way
indexes every ad of every request whole, as `index.ids([{**user, **context, **ad} for ad in ads])` does, and packs with
Protobuf's objects. CPU time (other work on the machine makes it longer, not shorter), the two ways interleaved.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema
from ctrkit.serving.client.ranker import Ranker
from ctrkit.serving.client.template import RequestTemplate
from ctrkit.serving.connection.messages import Served, predict_request

PERSON, ITEM, CROSSES, ADS, POOL, ROUNDS, STARTED = 60, 60, 20, 100, 2_000, 300, 20
NAMED = "from ctrkit.serving.client import AsyncClient, Client"
STARTS = {  # All that a process does before its first request.
    "numpy and gRPC alone": "import numpy, grpc",
    "import": NAMED,
    "import and open": f"{NAMED}; Client('127.0.0.1:1'), AsyncClient('127.0.0.1:1')",
}
MEASURED = """
import time
began = time.process_time()
{}
seconds = time.process_time() - began
rss = next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]
print(seconds, int(rss) / 1024)
"""


def index(crosses: int = 0) -> FeatureIndex:
    """Vocabularies of 1,000 values for most fields, every fifth one numeric."""
    features: dict[str, dict] = {}
    for side, count in (("user", PERSON // 2), ("context", PERSON - PERSON // 2), ("item", ITEM)):
        for k in range(count):
            if k % 5 == 4:
                features[f"{side}_{k}"] = {"kind": "numeric", "boundaries": list(range(20)), "side": side}
            else:
                features[f"{side}_{k}"] = {"kind": "categorical", "side": side}
    features |= {
        f"cross_{k}": {"kind": "cross", "of": [f"user_{k}", f"item_{k}"], "buckets": 1000} for k in range(crosses)
    }
    schema = Schema.from_dict({"label": "y", "features": features})
    vocabularies = {
        f.name: Vocabulary.of([f"{f.name}={v}" for v in range(1000)], [1] * 1000)
        for f in schema.features
        if f.kind == "categorical"
    }
    boundaries = {f.name: f.boundaries for f in schema.features if f.kind == "numeric"}
    return FeatureIndex(schema, vocabularies, boundaries)


def values(index: FeatureIndex, side: str, draw: random.Random) -> dict[str, object]:
    """Raw values of one side; every user has values that were never seen before."""
    found: dict[str, object] = {}
    for field in index.fields:
        if field.side == side and field.feature.kind != "cross":
            number = draw.randrange(1200)
            found[field.name] = f"{field.name}={number}" if field.feature.kind == "categorical" else number % 25
    return found


def interleaved(ways: dict[str, Callable[[int], object]]) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile of the milliseconds of CPU that each way takes for a request."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for request in range(ROUNDS):
        for name, way in ways.items():
            began = time.process_time_ns()
            way(request)
            taken[name].append((time.process_time_ns() - began) / 1e6)
    return {name: (statistics.median(all_), sorted(all_)[int(0.99 * len(all_))]) for name, all_ in taken.items()}


def show(title: str, found: dict[str, tuple[float, float]]) -> None:
    print(f"\n{title}\n{'':44} {'median ms':>10} {'p99 ms':>10}")
    for name, (median, p99) in found.items():
        print(f"{name:44} {median:>10.3f} {p99:>10.3f}")


def measure_indexing(crosses: int) -> None:
    draw, built = random.Random(0), index(crosses)
    by_id = Ranker(built, ad_key="item_0", ad_rows=POOL)
    by_values, by_parsed = Ranker(built, ad_key="item_0"), Ranker(built, ad_key="item_0")
    by_version = Ranker(built, ad_key="item_0", ad_version="item_4")
    pool = [{**values(built, "item", draw), "item_0": f"ad {k}"} for k in range(POOL)]
    by_id.remember(pool)
    users = [(values(built, "user", draw), values(built, "context", draw)) for _ in range(ROUNDS)]
    drawn = [draw.sample(pool, ADS) for _ in range(ROUNDS)]
    for ranker in (by_values, by_parsed, by_version):
        ranker.ids({}, {}, pool)
    copies = [[dict(ad) for ad in ads] for ads in drawn]  # New mappings of the same strings: out of a cache of ads.
    parsed = [json.loads(json.dumps(ads)) for ads in drawn]  # All is new: read from a network for each request.
    naive = Ranker(built)
    ways: dict[str, Callable[[int], object]] = {
        "naive: every ad whole": lambda k: built.ids([{**users[k][0], **users[k][1], **ad} for ad in drawn[k]]),
        "user once, every ad again": lambda k: naive.ids(*users[k], drawn[k]),
        "kept ads, given by values": lambda k: by_values.ids(*users[k], copies[k]),
        "kept ads, given by values that were parsed": lambda k: by_parsed.ids(*users[k], parsed[k]),
        "kept ads, by values with a version column": lambda k: by_version.ids(*users[k], copies[k]),
        "kept ads, given by id": lambda k: by_id.ids(*users[k], [ad["item_0"] for ad in drawn[k]]),
        "the user's and the context's fields alone": lambda k: by_id.ids(*users[k], []),
    }
    expected = built.ids([{**users[0][0], **users[0][1], **ad} for ad in drawn[0]])
    for way in list(ways)[1:6]:
        user_ids, item_ids = ways[way](0)  # type: ignore[misc]
        assert (np.concatenate([np.repeat(user_ids, ADS, axis=0), item_ids], axis=1) == expected).all(), way
    title = f"indexing {PERSON} fields of user and context and {ADS} ads of {ITEM} fields, {crosses} crosses of both"
    show(title, interleaved(ways))


def measure_starts() -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in STARTS}
    for _ in range(STARTED):
        for name, statements in STARTS.items():
            script = MEASURED.format(statements)
            seconds, megabytes = subprocess.check_output([sys.executable, "-c", script], text=True).split()
            found[name].append((float(seconds), float(megabytes)))
    print(f"{'':44} {'median s':>10} {'least s':>10} {'MB':>10}")
    for name, runs in found.items():
        all_ = [run[0] for run in runs]
        print(f"{name:44} {statistics.median(all_):>10.3f} {min(all_):>10.3f} {max(run[1] for run in runs):>10.1f}")


def main() -> None:
    measure_starts()
    for crosses in (0, CROSSES):
        measure_indexing(crosses)
    template = RequestTemplate(Served(model="ctr"), "rank", {"user_ids": PERSON, "item_ids": ITEM}, "ctr")
    user_ids, item_ids = np.ones((1, PERSON), np.int32), np.ones((ADS, ITEM), np.int32)
    inputs = {"user_ids": user_ids, "item_ids": item_ids}
    assert len(template.request(inputs)) == len(predict_request(Served(model="ctr"), "rank", inputs, ["ctr"]))
    show(
        f"packing {ADS} candidates",
        interleaved(
            {
                "Protobuf's objects": lambda k: predict_request(Served(model="ctr"), "rank", inputs, ["ctr"]),
                "prebuilt bytes": lambda k: template.request(inputs),
            }
        ),
    )


if __name__ == "__main__":
    main()
