"""A chief's dispatch over real sockets, workers that ask it, and threads for questions that have to wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.service import serve_dispatch


@pytest.fixture
def dispatch(tmp_path: Path) -> Iterator[Dispatch]:
    with serve_dispatch(tmp_path, Ledger(10, lease=4), fingerprint="f" * 64, info={"mode": "async"}) as dispatch:
        dispatch.set_ready(0)
        yield dispatch


@pytest.fixture
def worker(dispatch: Dispatch, tmp_path: Path) -> Iterator[Callable[..., DispatchClient]]:
    """A function that makes a worker which has joined."""
    with contextlib.ExitStack() as open_clients:

        def make(index: int = 0, **options: Any) -> DispatchClient:
            client = open_clients.enter_context(DispatchClient(tmp_path, "worker", index, **options))
            client.join()
            return client

        yield make


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Threads for questions that have to wait."""
    with ThreadPoolExecutor(4) as pool:
        yield pool
