"""Hold a port that several processes will share, and find out whether somebody else has it."""

from __future__ import annotations

import socket

from ctrkit.errors import ConfigError, ServingError


def held_port(host: str, port: int) -> socket.socket:
    """A socket bound to the port (0: any free one) that does not listen; children listen beside it.

    With SO_REUSEPORT two strangers would share a port without a word, each with a part of the requests: so the port is
    first bound without it, which fails when anybody has it. Raises `ServingError` then, `ConfigError` for a host that
    is no address of TCP.
    """
    if host.startswith("unix:"):
        raise ConfigError(f"`host` is {host!r}, but several processes share a TCP port only. Use `processes: 1`.")
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError("This system has no SO_REUSEPORT, so processes cannot share a port. Use `processes: 1`.")
    address = host.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Connections that just ended do not count.
            probe.bind((address, port))
            port = probe.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((address, port))
        except BaseException:
            held.close()
            raise
    except OSError as error:
        raise ServingError(
            f"Cannot listen at {host}:{port} ({error.strerror}): the port is taken, or the address is not this "
            "machine's. Name another port (`--port`), or 0 for any free one."
        ) from error
    return held
