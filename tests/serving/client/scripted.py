"""A gRPC server that speaks the protocol and does what a test tells it, to see what a client makes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.wire import array_of, pack_typed


class Refused(Exception):
    """Answer with a status."""

    def __init__(self, code: grpc.StatusCode, details: str = "told to", pushback: int | None = None) -> None:
        super().__init__(details)
        self.code, self.details, self.pushback = code, details, pushback


class Scripted:
    """Answers `fingerprint` by itself and `rank` with `version + first item id / 1000` of each candidate.

    `script(request, number)` is called for each `rank` request and may sleep, raise `Refused` or return a version.
    """

    def __init__(
        self, fingerprint: str, script: Callable[[Any, int], int | None] = lambda request, number: None
    ) -> None:
        self.fingerprint, self.script, self.version = fingerprint, script, 1
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.cancelled = threading.Event()
        self.port = 0
        self._lock = threading.Lock()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self, credentials: grpc.ServerCredentials | None = None) -> Iterator[Scripted]:
        server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(self._predict)
        service = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": handler})
        server.add_generic_rpc_handlers((service,))
        if credentials is None:
            self.port = server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait()

    def _predict(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        request = prediction_pb2.PredictRequest.FromString(raw)
        response = prediction_pb2.PredictResponse()
        spec = request.model_spec
        version: int | None = spec.version.value or None
        if spec.signature_name == "fingerprint":
            pack_typed(np.array([self.fingerprint], dtype=object), response.outputs["fingerprint"], "fingerprint")
        else:
            with self._lock:
                number = len(self.requests)
                self.requests.append(request)
                self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
            context.add_callback(lambda: None)
            try:
                version = self.script(request, number) or version
            except Refused as refused:
                if refused.pushback is not None:
                    context.set_trailing_metadata((("grpc-retry-pushback-ms", str(refused.pushback)),))
                context.abort(refused.code, refused.details)
            if not context.is_active():
                self.cancelled.set()
            items = array_of(request.inputs["item_ids"], "item_ids")
            scores = (version or self.version) + items[:, :1].astype(np.float32) / 1000
            pack_typed(scores, response.outputs["ctr"], "ctr")
        response.model_spec.version.value = version or self.version
        answer: bytes = response.SerializeToString()
        return answer


def slow(seconds: float) -> Callable[[Any, int], None]:
    """A script that answers late."""
    return lambda request, number: time.sleep(seconds)
