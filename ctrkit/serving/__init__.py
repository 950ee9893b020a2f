"""Answer scoring requests: an embedded server over TensorFlow's C API, and a client that needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "AsyncClient",
    "Client",
    "Connection",
    "SavedModelRuntime",
    "Server",
    "ServerProcess",
    "ServingOptions",
    "serve_in_process",
]

if TYPE_CHECKING:
    from ctrkit.serving.client import AsyncClient, Client
    from ctrkit.serving.connection import Connection
    from ctrkit.serving.options import ServingOptions
    from ctrkit.serving.process import ServerProcess, serve_in_process
    from ctrkit.serving.runtime import SavedModelRuntime
    from ctrkit.serving.server import Server
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "client": ["AsyncClient", "Client"],
            "connection": ["Connection"],
            "options": ["ServingOptions"],
            "process": ["ServerProcess", "serve_in_process"],
            "runtime": ["SavedModelRuntime"],
            "server": ["Server"],
        },
    )
