"""End the connections of a port in the kernel, where gRPC offers no way to end them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Container

OPEN_FILES = "/proc/self/fd"


def cut(port: int, *, kept: Container[int] = ()) -> None:
    """Let nobody connect to this process at its `port`, and end connections, but for those from clients' ports `kept`.

    What was written still arrives. A client sees UNAVAILABLE for a call that was under way. Other processes at the same
    port keep theirs. gRPC logs that it closes its acceptor. Off Linux nothing happens.
    """
    if not os.path.isdir(OPEN_FILES):
        return
    for name in os.listdir(OPEN_FILES):
        with contextlib.suppress(OSError):  # gRPC closes files meanwhile.
            if os.readlink(f"{OPEN_FILES}/{name}").startswith("socket:"):
                _cut(int(name), port, kept)


def _cut(file: int, port: int, kept: Container[int]) -> None:
    # A copy of the descriptor stays the same connection even if gRPC closes its own and the number is used again.
    with socket.socket(fileno=os.dup(file)) as connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] != port:
            return
        listens = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens or connection.getpeername()[1] not in kept:
            connection.shutdown(socket.SHUT_RDWR)
