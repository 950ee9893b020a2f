"""A parameter server: holds variables until the chief ends the training."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ctrkit.training.cluster.dispatch.client import GIVE_UP, DispatchClient
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.rendezvous import enter
from ctrkit.training.cluster.ending import End
from ctrkit.training.cluster.options import ClusterOptions
from ctrkit.training.cluster.session import start_server
from ctrkit.training.cluster.task import Task

_LOOK_EVERY = 0.5  # Seconds.


def hold_variables(task: Task, find_run: Callable[[], Path], cluster: ClusterOptions) -> End:
    """Serve variables until the training is over; returns how it ended.

    Raises `TrainingError` when the chief stays away.
    """
    server = start_server(task)  # Before anything else: sessions cannot be opened without it.
    run_dir = find_run()
    with DispatchClient(run_dir, task.role, task.index, give_up=max(GIVE_UP, cluster.come_up_within)) as client:
        end = enter(client, run_dir, within=cluster.come_up_within).end
        if end is not None:
            return end
        with Heartbeats(client, "serving"):
            end = client.wait_end()
            assert end is not None  # Without a time limit.
            while client.status()["roles"]:  # Sessions that are being closed hang without their parameter server.
                time.sleep(_LOOK_EVERY)
    del server  # It cannot be stopped; it ends with the process.
    return end
