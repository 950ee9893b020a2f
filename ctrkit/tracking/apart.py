"""A store behind a process of its own: MLflow's import takes seconds, which pass beside what the training does."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any

from ctrkit.tracking.events import Buffer, Event, RunHeader
from ctrkit.tracking.location import Location, without_password
from ctrkit.tracking.store import Unreachable

LOG = logging.getLogger("ctrkit.tracking")


@contextlib.contextmanager
def store_apart(location: Location) -> Iterator[ApartStore | None]:
    """Begin to open the store at `location` beside what comes next, for `start_run(store=…)`; gone after the block.

    None where MLflow is imported in this process already: then it costs nothing here.
    """
    if "mlflow" in sys.modules:
        yield None
        return
    store = ApartStore(location)
    try:
        store.begin()
        yield store
    finally:
        store.close()


class ApartStore:
    """What a `Store` does, with the same results and errors, in a process that ends with this one.

    A process that dies counts as a store that does not answer. The next call after `disconnect` starts another.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def begin(self) -> None:
        """Start the process and have it connect, without waiting; what fails is told by the first call."""
        with contextlib.suppress(OSError):
            self._start().send(("begin", ()))

    def open_run(self, header: RunHeader) -> RunHeader:
        """See `Store.open_run`."""
        opened: RunHeader = self._call("open_run", header)
        return opened

    def deliver(self, run_id: str, event: Event, buffer: Buffer) -> Any:
        """See `Store.deliver`."""
        return self._call("deliver", run_id, event, buffer)

    def disconnect(self) -> None:
        """See `Store.disconnect`."""
        self.close()

    def close(self) -> None:
        """End the process, whatever it does: what it was not seen to have delivered is kept elsewhere."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None

    @property
    def shown(self) -> str:
        """The store's URI without a password."""
        return without_password(self.location.uri)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            connection = self._start() if self._connection is None else self._connection
            connection.send((name, arguments))
            while True:
                kind, content = connection.recv()
                if kind != "log":
                    break
                LOG.log(*content)
        except (EOFError, OSError) as error:
            raise Unreachable(f"The process that speaks to tracking store {self.shown} is gone ({error!r})") from error
        if kind == "raised":
            raise content
        return content

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-m", "ctrkit.tracking.apart_process", str(number)]
            # In a session of its own Control-C does not reach it: it has the end of the run still to deliver.
            self._process = subprocess.Popen(
                command, pass_fds=[number], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._connection = ours
        ours.send(self.location)
        return ours
