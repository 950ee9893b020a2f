"""The HTTP port, in one thread of its own: connections by uvicorn, with limits on what slow clients can hold."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ctrkit.errors import ServingError
from ctrkit.serving.options import RestOptions, TlsOptions
from ctrkit.serving.rest.app import RestApp

HEADER_TIMEOUT = 10.0  # Seconds for a request's line and headers to arrive.
HEADER_BYTES = 64 << 10
START_TIMEOUT = 30.0  # Seconds.


class _Connection(HttpToolsProtocol):
    """A connection whose headers have to come in time, in a bounded number of bytes."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES:
                self._cut()

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        # A client that does not read its answer would keep a connection that is merely closed.
        self.transport.abort()

    def _expect_head(self) -> None:
        self._head_arrived()
        self._head_timer = self.loop.call_later(HEADER_TIMEOUT, self._cut)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer, self._head_bytes = None, 0

    def _cut(self) -> None:
        self._head_arrived()
        self.transport.abort()


class RestListener:
    """Listen at a port for as long as it is open."""

    def __init__(
        self,
        app: RestApp,
        host: str,
        options: RestOptions,
        tls: TlsOptions | None,
        grace: float,
        *,
        shared: bool = False,  # With the other processes of a fleet.
    ) -> None:
        """Take the port. Raises `ServingError` when it cannot be had."""
        self._socket = _listen(host, options.port, shared=shared)
        self.port: int = self._socket.getsockname()[1]
        self._app = app
        secured: dict[str, Any] = {}
        if tls is not None:
            secured = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
            if tls.client_authority is not None:
                secured |= {"ssl_ca_certs": str(tls.client_authority), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=options.max_connections + 1,  # uvicorn counts the one that asks.
                timeout_keep_alive=max(1, round(options.keep_alive)),
                timeout_graceful_shutdown=max(1, round(grace)),
                **secured,
            )
        )
        self._thread = threading.Thread(target=self._run, name="ctrkit-http", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        """Answer requests from now on."""
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # Bad requests are a client's business.
        self._thread.start()
        waited = 0.0
        while not self._server.started and not self._ended.wait(0.005):
            waited += 0.005
            if waited > START_TIMEOUT:
                break
        if not self._server.started:
            raise ServingError(f"The HTTP port {self.port} did not open. See the log for the reason.")

    def stop(self) -> None:
        """Take no more requests; returns when those under way are answered, or their time is up."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        self._app.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of TCP by name: asyncio sends answers at once only over sockets that say so.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host.strip("[]"), port))
    except OSError as error:
        listening.close()
        raise ServingError(
            f"Cannot listen at {host}:{port} for HTTP: {error.strerror}. Name another port (`--rest-port`), or 0 for "
            "any free one."
        ) from error
    return listening
