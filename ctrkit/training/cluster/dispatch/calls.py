"""Ask the chief's dispatch from another process, over the chief's death and return at another address."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.address import Address, dispatch_file

CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # A proxy for web pages has no business within a cluster.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # gRPC would wait up to two minutes after a chief's restart.
    ("grpc.keepalive_time_ms", 20_000),  # Notice a machine that vanished without a word.
    ("grpc.keepalive_timeout_ms", 10_000),
]
PATH = "/ctrkit.Dispatch/"
SHORTEST_WAIT, LONGEST_WAIT = 0.05, 1.0  # Seconds between two tries.
_TRY_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,  # "Stream removed", and the next "RST_STREAM": the other side died in mid-call.
    grpc.StatusCode.INTERNAL,
)
_RAISED = "Exception calling application"  # How gRPC begins the UNKNOWN of a chief that made a mistake.


class TrainingOver(Exception):
    """The chief wrote down the end of the training, and is gone."""

    def __init__(self, end: dict[str, str]) -> None:
        super().__init__(end)
        self.end = end


class RemoteCalls:
    """Questions to the chief of a run; safe to share between threads."""

    def __init__(self, run_dir: Path, *, give_up: float) -> None:
        self._run_dir, self._give_up = run_dir, give_up
        self._lock = threading.Lock()
        self._address: Address | None = None
        self._channel: grpc.Channel | None = None
        self._questions: dict[str, Callable[..., bytes]] = {}  # Of the channel; making one anew costs time.
        self._closed = False
        found = Address.read(run_dir)
        # A run that is trained on was ended by an earlier chief: only an end that comes later is ours.
        self._old_end = found.service if found is not None and found.ended is not None else None

    @property
    def thread(self) -> int | None:
        """None: permits belong to another process than the chief's."""
        return None

    @property
    def fingerprint(self) -> str | None:
        """Of the chief's feature index, once it was found."""
        return None if self._address is None else self._address.fingerprint

    def call(
        self, name: str, arguments: dict[str, Any], *, seconds: float, give_up: float | None = None
    ) -> dict[str, Any]:
        """Ask, and ask again while the chief is away; `seconds` is what one answer may take.

        Raises `TrainingError` after `give_up` seconds without an answer, and `TrainingOver`.
        """
        patience = self._give_up if give_up is None else give_up
        failing_since: float | None = None
        wait, reason = SHORTEST_WAIT, "no chief has written it yet"
        while True:
            address, question = self._connected(name)
            if question is not None and address is not None:
                try:
                    payload = json.dumps({**arguments, "service": address.service}).encode()
                    answer: dict[str, Any] = json.loads(question(payload, timeout=seconds))
                    return answer
                except grpc.RpcError as error:
                    reason = self._failed(error, address)
                except ValueError as error:  # The channel was closed by another thread, for a new address.
                    reason = str(error)
            if self._closed:
                raise TrainingError(f"The client of the chief of {self._run_dir} was closed.")
            failing_since = time.monotonic() if failing_since is None else failing_since
            self._look_up()
            if time.monotonic() - failing_since >= patience:
                raise self._no_answer(patience, reason)
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def close(self) -> None:
        """End the calls that wait."""
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()
                self._channel = None
                self._questions = {}

    def _connected(self, name: str) -> tuple[Address | None, Callable[..., bytes] | None]:
        if self._channel is None and not self._closed:
            self._look_up()
        with self._lock:
            if self._channel is not None and name not in self._questions:
                self._questions[name] = self._channel.unary_unary(PATH + name)
            return self._address, self._questions.get(name)

    def _look_up(self) -> None:
        """Read where the chief is, and connect when that is new. Raises `TrainingOver`."""
        found = Address.read(self._run_dir)
        if found is None:
            return
        if found.ended is not None:
            if found.service == self._old_end:
                return
            raise TrainingOver(dict(found.ended))
        with self._lock:
            if self._closed or (self._address is not None and found.service == self._address.service):
                return
            if self._channel is not None:
                self._channel.close()
            self._address, self._questions = found, {}
            self._channel = grpc.insecure_channel(found.target, options=CHANNEL_OPTIONS)

    def _failed(self, error: Any, address: Address) -> str:
        code, details = error.code(), error.details() or ""
        if code in _TRY_AGAIN and not details.startswith(_RAISED):
            return f"{code.name}: {details}"
        raise TrainingError(
            f"The chief at {address.target} answered {code.name}: {details}. Look at its log."
        ) from error

    def _no_answer(self, seconds: float, reason: str) -> TrainingError:
        path = dispatch_file(self._run_dir)
        where = str(path) if self._address is None else f"{self._address.target} (from {path})"
        return TrainingError(
            f"No answer from the chief for {seconds:g} s; looked at {where}: {reason}. Is the chief running? Look at "
            f"the last lines of its log; if it runs, see whether machine {os.uname().nodename} sees the same run "
            "folder and can reach that address."
        )
