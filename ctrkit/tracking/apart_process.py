"""The process that holds the store of an `ApartStore`: answers its calls until the other side is gone."""

from __future__ import annotations

import contextlib
import logging
import sys
from multiprocessing.connection import Connection
from typing import Any

from ctrkit.errors import TrackingError
from ctrkit.tracking.store import Store, Unreachable


class _Forwarding(logging.Handler):
    """Lets the other process log what is logged here."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send(("log", (record.levelno, "%s", record.getMessage())))


def serve(connection: Connection) -> None:
    """Answer calls one after the other; returns when nobody is left to ask."""
    store = Store(connection.recv())
    log = logging.getLogger("ctrkit.tracking")
    log.addHandler(_Forwarding(connection))
    log.propagate = False
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        if name == "begin":
            with contextlib.suppress(TrackingError), store.speaking() as client:
                client.get_experiment_by_name("Default")  # The first question takes ten times as long as the second.
        else:
            connection.send(_answer(store, name, arguments))


def _answer(store: Store, name: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "returned", getattr(store, name)(*arguments)
    except TrackingError as error:
        return "raised", error
    except Exception as error:
        return "raised", Unreachable(f"Tracking store {store.shown} cannot be used ({type(error).__name__}: {error})")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(Connection(int(sys.argv[1])))
