"""Let the other processes of a cluster ask the chief's `Dispatch`, over gRPC."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.address import Address
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions

SERVICE = "/ctrkit.Dispatch/"  # Before the method's name in a path.
METHODS = ("join", "wait_ready", "lease", "step", "heartbeat", "leave", "fail", "wait_end", "status")
THREADS = 2048  # At most; a question that waits takes one. Threads are started as they are needed.
GRACE = 2.0  # Seconds for calls under way when the service stops.
SERVER_OPTIONS = [
    ("grpc.so_reuseport", 0),  # Otherwise two services share a port without anybody noticing.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def serve_dispatch(
    run_dir: str | os.PathLike[str],
    ledger: Ledger,
    *,
    fingerprint: str,
    info: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    bind: str | None = None,
    port: int = 0,
    options: DispatchOptions | None = None,
) -> Iterator[Dispatch]:
    """Serve a new `Dispatch` inside the block; `cluster/dispatch.json` in `run_dir` tells where.

    At the end of the block no thread of the service is left. Leave it only after `finish`, once the others have left:
    clients take a service that vanished without an end for a chief that will be back.

    Args:
        run_dir: folder of the run, on a disk that all roles share.
        ledger: belongs to the dispatch from now on.
        fingerprint: of the feature index; a role with another one is refused.
        info: what joining roles are told; JSON.
        host: name or address by which the others reach this machine.
        bind: address to listen at; None: that of `host`.
        port: 0 for a free one.
        options: see `DispatchOptions`.
    Raises:
        TrainingError: the address cannot be listened at.
    """
    directory = Path(run_dir)
    before = Address.read(directory)
    pool = futures.ThreadPoolExecutor(THREADS, thread_name_prefix="ctrkit-dispatch")
    server = grpc.server(pool, options=SERVER_OPTIONS)
    service = uuid.uuid4().hex
    listening = _listen(server, bind or host, port)

    def announce(dispatch: Dispatch) -> None:
        Address(
            host=host,
            port=listening,
            pid=os.getpid(),
            service=service,
            generation=dispatch.generation,
            fingerprint=fingerprint,
            ended=dispatch.end,
        ).write(directory)

    generation = 1 if before is None else before.generation + 1
    dispatch = Dispatch(ledger, info=info, generation=generation, options=options, on_change=announce)
    server.add_generic_rpc_handlers([_Handler(dispatch, service)])
    server.start()
    try:
        announce(dispatch)
        yield dispatch
    finally:
        dispatch.close()
        server.stop(GRACE).wait()
        pool.shutdown()


def _listen(server: grpc.Server, bind: str, port: int) -> int:
    address = f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"
    try:
        listening = server.add_insecure_port(address)
    except RuntimeError:
        listening = 0
    if listening == 0:
        raise TrainingError(
            f"The chief cannot listen at {address} for its workers: the port is taken, or the address is not this "
            "machine's. Name the host as the cluster knows it, bind 0.0.0.0, or take port 0 for any free one."
        )
    return listening


class _Handler(grpc.GenericRpcHandler):
    """Bytes of JSON in, bytes of JSON out."""

    def __init__(self, dispatch: Dispatch, service: str) -> None:
        self._service = service
        self._handlers = {
            SERVICE + name: grpc.unary_unary_rpc_method_handler(self._behaviour(getattr(dispatch.questions, name)))
            for name in METHODS
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)

    def _behaviour(self, method: Callable[..., dict[str, Any]]) -> Callable[[bytes, Any], bytes]:
        def answer(payload: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                arguments = json.loads(payload)
                asked = arguments.pop("service")
                result = None if asked != self._service else method(**arguments)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                _log.exception("A question of %s could not be answered.", context.peer())
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{type(error).__name__}: {error}")
            if result is None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "another cluster's chief listens at this port now")
            return json.dumps(result).encode()

        return answer
