"""What tests see of a dispatch."""

from __future__ import annotations

import time
from collections.abc import Callable

from ctrkit.training.cluster.dispatch.decisions import Dispatch


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


def state_of(dispatch: Dispatch, name: str) -> str:
    return dispatch.status()["roles"][name]["state"]
