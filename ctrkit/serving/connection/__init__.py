"""Talk to one model of TensorFlow Serving (or embedded) servers over gRPC: numpy arrays in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "DEADLINE",
    "Answer",
    "AsyncConnection",
    "ClientTls",
    "Connection",
    "ConnectionOptions",
    "Hedging",
    "VersionStatus",
]

if TYPE_CHECKING:
    from ctrkit.serving.connection.asynchronous import AsyncConnection
    from ctrkit.serving.connection.blocking import Connection
    from ctrkit.serving.connection.messages import Answer, VersionStatus
    from ctrkit.serving.connection.options import DEADLINE, ClientTls, ConnectionOptions, Hedging
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "asynchronous": ["AsyncConnection"],
            "blocking": ["Connection"],
            "messages": ["Answer", "VersionStatus"],
            "options": ["DEADLINE", "ClientTls", "ConnectionOptions", "Hedging"],
        },
    )
