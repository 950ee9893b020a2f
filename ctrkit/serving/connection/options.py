"""How a client connects and how long it tries: frozen, checked when made."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from ctrkit.errors import ArtifactError, RequestError, did_you_mean

DEADLINE = 2.0  # Seconds.
COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


@dataclass(frozen=True, kw_only=True)
class ClientTls:
    """Encryption of the connection; every file is in PEM form."""

    authority: str | os.PathLike[str] | None = None  # Who signed the server's certificate; None: the usual ones.
    certificate: str | os.PathLike[str] | None = None  # This client's own, for servers that ask (mutual TLS),
    key: str | os.PathLike[str] | None = None  # and its private key.
    server_name: str | None = None  # The name in the server's certificate, where it is not that of the target.

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            given, absent = ("key", "certificate") if self.certificate is None else ("certificate", "key")
            raise RequestError(f"TLS has a `{given}` without a `{absent}`; a client that shows who it is needs both.")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises `ArtifactError`."""
        return grpc.ssl_channel_credentials(_read(self.authority), _read(self.key), _read(self.certificate))


@dataclass(frozen=True, kw_only=True)
class Hedging:
    """Ask a second target when the first is slow; the first answer wins, the other request is cancelled.

    A second request may reach another server, or another process behind the same port; it is never sent where no
    other target or channel is open.
    """

    after: float | None = None  # Seconds to wait for the first; None: the `quantile` of the last answers' times.
    quantile: float = 0.95
    share: float = (
        0.05  # Of the requests may be hedged, so that a slow service gets 5% more load and not twice as much.
    )

    def __post_init__(self) -> None:
        if self.after is not None and not self.after > 0:
            raise RequestError(f"Hedging: `after` is {self.after} seconds, expected more than 0.")
        if not 0 < self.quantile < 1:
            raise RequestError(f"Hedging: `quantile` is {self.quantile}, expected between 0 and 1.")
        if not 0 < self.share <= 1:
            raise RequestError(f"Hedging: `share` is {self.share}, expected more than 0 and at most 1.")


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """What all calls of one client share."""

    deadline: float = DEADLINE  # Seconds for a call, all its attempts together.
    attempts: int = 3  # At most, where a server cannot be reached or asks to come again; 1: never a second.
    backoff: float = 0.02  # Seconds (half to all of it, by chance) before the second attempt, doubled for each further.
    hedging: Hedging | None = None
    channels: int = 1  # Connections to each target; 4 or more spread over server processes that share one port.
    tls: ClientTls | None = None
    compression: str | None = None  # "gzip" or "deflate"; ids compress badly, raw examples well.
    metadata: tuple[tuple[str, str], ...] = ()  # Sent with every call, such as an authorization.
    authority: str | None = None  # The host name that a proxy sees, where it is not that of the target.

    def __post_init__(self) -> None:
        if not self.deadline > 0:
            raise RequestError(f"`deadline` is {self.deadline} seconds, expected more than 0.")
        for name in ("attempts", "channels"):
            if getattr(self, name) < 1:
                raise RequestError(f"`{name}` is {getattr(self, name)}, expected 1 or more.")
        if not self.backoff >= 0:
            raise RequestError(f"`backoff` is {self.backoff} seconds, expected 0 or more.")
        if self.compression is not None and self.compression not in COMPRESSIONS:
            raise RequestError(
                f"`compression` is {self.compression!r}.{did_you_mean(self.compression, COMPRESSIONS)} None is without."
            )

    def with_deadline(self, deadline: float | None) -> ConnectionOptions:
        """These options with another deadline, unless it is None."""
        return self if deadline is None else dataclasses.replace(self, deadline=deadline)

    @property
    def channel_arguments(self) -> list[tuple[str, Any]]:
        """What gRPC is told when a channel is made."""
        arguments: list[tuple[str, Any]] = [
            ("grpc.enable_http_proxy", 0),  # A proxy for web pages has no business between a ranker and its model.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),  # gRPC would wait up to two minutes after a server's restart.
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if self.channels > 1:
            arguments.append(("grpc.use_local_subchannel_pool", 1))  # Or all channels would share one connection.
        if self.authority is not None:
            arguments.append(("grpc.default_authority", self.authority))
        if self.tls is not None and self.tls.server_name is not None:
            arguments.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return arguments


def _read(path: str | os.PathLike[str] | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"Cannot read {path} for TLS: {error.strerror}. Expected a file in PEM form.") from error
