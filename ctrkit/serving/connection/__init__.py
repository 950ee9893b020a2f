"""Talk to one model of TensorFlow Serving (or embedded) servers over gRPC: numpy arrays in and out."""

from ctrkit.serving.connection.asynchronous import AsyncConnection
from ctrkit.serving.connection.blocking import Connection
from ctrkit.serving.connection.messages import Answer, VersionStatus
from ctrkit.serving.connection.options import DEADLINE, ClientTls, ConnectionOptions, Hedging

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
