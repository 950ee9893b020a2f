"""Hold loopback ports for a whole run: none is lost to another process between a role's death and its next start."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
CONNECT_WITHIN = 0.5  # Seconds; on loopback a listening port answers in microseconds.


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Yield `count` free ports that nobody else gets for as long as the block lasts.

    Each is held by a socket that is bound and never listens, so a connection is refused until a role listens. A role
    must bind with `SO_REUSEPORT`; TensorFlow's server does so under `TF_GRPC_REUSE_PORT=true`. The kernel gives a port
    held this way to no process that asks for any free port, and to no outgoing connection.
    """
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            holder = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # Every interface, as TensorFlow's server binds: a holder of one address would leave the others to be taken.
            holder.bind(("", 0))
            ports.append(holder.getsockname()[1])
        yield ports


def accepts(port: int) -> bool:
    """Whether something listens on loopback port `port`."""
    try:
        with socket.create_connection((LOOPBACK, port), CONNECT_WITHIN):
            return True
    except OSError:
        return False
