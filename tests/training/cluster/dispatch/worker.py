"""A worker's process without TensorFlow: trains a ticket by writing its number to a file.

`python worker.py RUN_DIR INDEX SECONDS_A_STEP GIVE_UP`; the file is `RUN_DIR/worker-INDEX.log`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats


def main(run_dir: str, index: str, seconds: str, give_up: str) -> None:
    client = DispatchClient(run_dir, "worker", int(index), give_up=float(give_up))
    log = open(Path(run_dir) / f"worker-{index}.log", "a", buffering=1)  # noqa: SIM115 - open until the process ends
    with Heartbeats(client, every=0.1) as beats:
        while client.end is None:
            client.join()
            if client.wait_ready(float(give_up)) is None:
                break
            log.write(f"joined {client.generation}\n")
            beats.say("training")
            if session(client, log, float(seconds)) != "stale":
                break
        beats.say("finished")
    client.leave()
    log.write(f"left {client.end}\n")


def session(client: DispatchClient, log, seconds: float) -> str:
    """Train until told otherwise; as an Estimator does, ask for the step first and then wait for the batch."""
    answer = client.step()
    leases = client.leases()
    while answer == "go" and (lease := next(leases, None)) is not None:
        first, count = lease
        for ticket in range(first, first + count):
            time.sleep(seconds)
            log.write(f"{client.generation} {ticket}\n")
            answer = client.step([(ticket, False)], {"samples": 10, "loss": 0.5})
            if answer != "go":
                break
    return "stale" if client.leases_ended == "stale" else answer


if __name__ == "__main__":
    main(*sys.argv[1:])
