"""The embedded server: TensorFlow Serving's protocols over the C API, in this process or one of its own.

In a process of its own: `python -m ctrkit.serving.server PATH --port 8500 --rest-port 8501`.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc

from ctrkit.errors import CtrkitError, ServingError
from ctrkit.serving.admission import Admission
from ctrkit.serving.arguments import Arguments
from ctrkit.serving.batching import BatchingOptions
from ctrkit.serving.configured import models_config
from ctrkit.serving.fleet.fleet import Fleet
from ctrkit.serving.fleet.member import Member
from ctrkit.serving.handlers import Handlers
from ctrkit.serving.health import Health
from ctrkit.serving.methods.compute import WARMUP
from ctrkit.serving.methods.status import reload
from ctrkit.serving.metrics import Metrics
from ctrkit.serving.models import ServedModels, VersionLoader, VersionState
from ctrkit.serving.options import ServingOptions
from ctrkit.serving.protos import model_server_config_pb2
from ctrkit.serving.tls import server_credentials

# Calls that gRPC's one thread has not taken in yet, of each registered method and of all others together. Beyond it
# gRPC ends some with CANCELLED, beyond twice as many all: its only word, and one of ours costs that thread's time.
MAX_PENDING = 8
SWITCH_EVERY = 0.0005  # Seconds; with Python's 5 ms, the one thread that takes calls in waits for those that compute.
LOG = logging.getLogger(__name__)


class Server:
    """Serve models by name: one directory of exports (`.../export` with `1/`, `2/`, …, or one of those), or several.

    >>> with Server("artifacts/criteo/runs/first/export", port=8500) as server:  # doctest: +SKIP
    ...     print(server.target)
    """

    def __init__(
        self,
        model_base_path: str | os.PathLike[str] | None = None,
        options: ServingOptions | None = None,
        **overrides: Any,
    ) -> None:
        """Take `ServingOptions`, or its fields as keywords: `Server(path, name="ctr", port=8500)`.

        Without a path, `model_config_file` names the models. Raises `ConfigError`.
        """
        self.options = options = dataclasses.replace(ServingOptions() if options is None else options, **overrides)
        self.metrics = Metrics()
        file = options.batching_parameters_file
        batching = None if file is None else BatchingOptions.read(file)
        self.models = ServedModels(
            models_config(model_base_path, options),
            VersionLoader(
                answers=WARMUP,
                require_index=options.require_index,
                warmup=options.warmup,
                load_options={"batching": batching},
                on_batch=self.metrics.batch,
            ),
            poll_every=options.poll_every,
            on_change=self._version_changed,
            same_index=options.same_index,
            allow_unavailable_labels=options.allow_unavailable_labels,
        )
        self.health = Health(self.models)
        # With batching, requests wait inside for others to join them; threads of the batches are the workers then.
        waiting = 0 if batching is not None else options.max_queue
        self.admission = Admission(options.workers + options.max_queue - waiting, waiting)
        self._handlers: Handlers | None = None
        self._grpc: grpc.Server | None = None
        self._rest: Any = None  # A RestListener, imported when asked for.
        self._port: int | None = None
        self._member: Member | None = None

    @property
    def target(self) -> str:
        """Where clients of gRPC reach the server: "host:port"."""
        if self._port is None:
            raise ServingError("The server has no address before it is started. Call `start()`, or use it in a `with`.")
        return f"{self._reached}:{self._port}"

    @property
    def rest_target(self) -> str | None:
        """Where clients of HTTP reach it: "host:port"; None without `rest`."""
        return None if self._rest is None else f"{self._reached}:{self._rest.port}"

    @property
    def version(self) -> int | None:
        """The version of the first model that answers requests now."""
        names = self.models.names
        return next(iter(self.models.available(names[0])), None) if names else None

    def start(self) -> Server:
        """Listen, load, check and warm up; returns when every model is available.

        Status and health requests are answered from the beginning. Raises `ConfigError` (TLS files), `ServingError`
        (port taken, no model, broken model) or `ArtifactError` (broken index); nothing is left running then.
        """
        if self._grpc is not None:
            raise ServingError(f"The server is running already at {self.target}.")
        try:
            fleet = self.options.fleet
            if fleet is None:  # A port that others answer at is taken when this one can answer too.
                self._listen()
            self.models.start()
            if fleet is not None:
                self._member = Member(fleet, self._reload)
                self._listen()
        except BaseException:
            self.stop()
            raise
        self.health.changed()
        return self

    def stop(self) -> None:
        """Refuse new requests, let those under way finish (at most `grace` seconds), unload; may be called twice."""
        until = time.monotonic() + self.options.grace
        draining = None
        if self._grpc is not None and self._handlers is not None and self._port is not None:
            taken = self._handlers.taken
            taken.close()  # Before health tells of it: who was told is refused.
            draining = threading.Thread(target=taken.drain, args=[self._port, until], name="ctrkit-drain")
        self.health.drain()
        if draining is not None:
            draining.start()
        if self._rest is not None:
            self._rest.stop()
            self._rest = None
        if draining is not None:
            draining.join()
        if self._grpc is not None:
            self._grpc.stop(max(0.0, until - time.monotonic())).wait()
            self._grpc = None
        if self._handlers is not None:
            self._handlers.close()
            self._handlers = None
        if self._member is not None:
            self._member.close()
            self._member = None
        self.admission.shutdown()
        self.models.close()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _reached(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.options.host, self.options.host)

    def _listen(self) -> None:
        options, limits = self.options, self.options.limits
        if options.is_open and options.tls is None:
            LOG.warning(
                "Listening at %s without encryption: whoever reaches this machine can ask and read. Set `tls`, or "
                "listen at 127.0.0.1.",
                options.host,
            )
        self.metrics.watch(self.admission)
        self._handlers = Handlers(
            self.models, self.admission, self.health, self.metrics, receive_timeout=limits.receive_timeout
        )
        if self._member is not None:
            self._handlers.on_reload = self._member.told
        server = grpc.server(
            self.admission,
            handlers=[self._handlers],
            options=[
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", limits.max_answer_bytes),
                # Calls that Python has not taken in yet: gRPC refuses more of them by itself, without the interpreter.
                ("grpc.server.max_pending_requests", MAX_PENDING),
                ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_PENDING),
                # Otherwise two servers share a port without anybody noticing; the parent of a fleet looked already.
                ("grpc.so_reuseport", int(options.fleet is not None)),
            ],
        )
        for service, handlers in self._handlers.registered().items():
            server.add_registered_method_handlers(service, handlers)
        address = f"{options.host}:{options.port}"
        try:
            if options.tls is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, server_credentials(options.tls))
        except RuntimeError:
            port = 0
        if port == 0:
            raise ServingError(
                f"Cannot listen at {address}: the port is taken, or the address is not this machine's. Name another "
                "port (`--port`), or 0 for any free one."
            )
        if options.rest is not None:
            from ctrkit.serving.rest.app import RestApp
            from ctrkit.serving.rest.listener import RestListener

            app = RestApp(self.models, self.admission, self.metrics, options.rest)
            shared = options.fleet is not None
            self._rest = RestListener(app, options.host, options.rest, options.tls, options.grace, shared=shared)
            self._rest.start()
        server.start()
        self._grpc, self._port = server, port

    def _reload(self, request: bytes) -> None:
        reload(self.models, model_server_config_pb2.ReloadConfigRequest.FromString(request))
        self.health.changed()

    def _version_changed(self, model: str, state: VersionState) -> None:
        self.metrics.version(model, state)
        self.health.changed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    # TensorFlow's errors come as statuses; its chatter is noise here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.setswitchinterval(SWITCH_EVERY)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        given = Arguments.parse(arguments)
        if given.until_stdin_closes:
            threading.Thread(target=_stop_at_end_of_input, args=[stop], daemon=True).start()
        kind: type[Server | Fleet] = Server if given.options.processes == 1 else Fleet
        with kind(given.path, given.options) as server:
            for name in server.models.names if isinstance(server, Server) else [f"{given.options.processes} processes"]:
                LOG.info("%s answers at %s", name, server.target)
            if server.rest_target is not None:
                LOG.info("HTTP at %s", server.rest_target)
            # What is loaded stays: a full collection would walk through all of it in the middle of requests.
            gc.collect()
            gc.freeze()
            if given.ready_fd is not None:
                os.write(given.ready_fd, f"{server.target} {server.rest_target or ''}\n".encode())
                os.close(given.ready_fd)
            stop.wait()
            LOG.info("stopping")
    except CtrkitError as error:
        LOG.error("%s", error)
        return 1
    return 0


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    raise SystemExit(main())
