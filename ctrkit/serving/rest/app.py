"""One HTTP request: read within limits, route, answer in the threads that the requests of gRPC use too."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent import futures
from typing import Any

import grpc

from ctrkit.errors import CtrkitError, RequestError, did_you_mean
from ctrkit.serving.admission import Admission
from ctrkit.serving.methods.call import DEFAULT_SIGNATURE, FINGERPRINT_KEY, Call, found
from ctrkit.serving.methods.infer import classify, regress
from ctrkit.serving.methods.metadata import signatures
from ctrkit.serving.methods.status import status
from ctrkit.serving.metrics import CONTENT_TYPE, PATH, Metrics
from ctrkit.serving.models import ServedModels
from ctrkit.serving.options import RestOptions
from ctrkit.serving.problems import Problems
from ctrkit.serving.protos import classification_pb2, prediction_pb2
from ctrkit.serving.refusal import Refusal, failure
from ctrkit.serving.rest import answers, examples
from ctrkit.serving.rest.routes import Route, route
from ctrkit.serving.rest.tensors import inputs_of, parse

JSON = "application/json"
CONTROL_THREADS = 2  # For status, metadata and metrics, which are answered however busy the models are.
METHODS = {
    "predict": "Predict",
    "classify": "Classify",
    "regress": "Regress",
    "status": "GetModelStatus",
    "metadata": "GetModelMetadata",
}
LOG = logging.getLogger(__name__)

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class _Unread(Refusal):
    """Refused with the body on its way: the connection has to be closed."""

    def __init__(self, message: str, code: grpc.StatusCode, status: int) -> None:
        super().__init__(message, code)
        self.status = status


class RestApp:
    """An ASGI application."""

    def __init__(self, models: ServedModels, admission: Admission, metrics: Metrics, options: RestOptions) -> None:
        self._models, self._admission, self._metrics, self._options = models, admission, metrics, options
        self._problems = Problems(LOG)
        self._control = futures.ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="ctrkit-rest")

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        start, call, what = time.perf_counter(), Call(), ""
        code, kind, text, unread = grpc.StatusCode.OK, JSON, b"", None
        try:
            path = scope["raw_path"].decode("latin-1")
            if scope["method"] == "GET" and path == PATH:
                kind, text = CONTENT_TYPE, await self._in(self._control, self._metrics.page)
            elif not path.lower().startswith("/v1/"):
                raise Refusal(
                    f"Nothing is served at {path[:200]}. Expected /v1/… or {PATH}.", grpc.StatusCode.NOT_FOUND
                )
            else:
                asked = route(scope["method"], path)
                what = METHODS[asked.what]
                text = await self._answer(asked, dict(scope["headers"]), receive, call, start)
        except Exception as error:
            code, message = failure(error)
            text = answers.error(message)
            self._failed(what or "HTTP", code, message, error)
            unread = error.status if isinstance(error, _Unread) else None
        if what:
            self._metrics.request(call.model, call.version, what, code, time.perf_counter() - start)
        await _reply(send, unread or answers.http_status(code), kind, text, close=unread is not None)

    async def _answer(
        self, asked: Route, headers: dict[bytes, bytes], receive: _Receive, call: Call, start: float
    ) -> bytes:
        fingerprint = headers.get(FINGERPRINT_KEY.encode())
        call.fingerprint = None if fingerprint is None else fingerprint.decode("latin-1")
        if asked.what in ("status", "metadata"):
            return await self._in(self._control, self._told, asked, call)
        if self._admission.is_full:  # Before the body is read: refusing has to cost less than answering.
            self._metrics.refused("queue")
            raise self._admission.full()
        body = await self._body(headers, receive)
        return await self._in(self._admission, self._computed, asked, headers, body, call, start)

    async def _body(self, headers: dict[bytes, bytes], receive: _Receive) -> bytes:
        """The whole body. Raises `Refusal` when it is too large or too slow."""
        self._check_size(int(headers.get(b"content-length", b"0")))
        chunks, size = [], 0

        async def read() -> None:
            nonlocal size
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal("The client closed the connection.", grpc.StatusCode.CANCELLED)
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                self._check_size(size)
                if not message.get("more_body", False):
                    return

        try:
            await asyncio.wait_for(read(), self._options.timeout)
        except asyncio.TimeoutError:
            self._metrics.refused("slow")
            raise _Unread(
                f"The request's body did not arrive within {self._options.timeout:g} s.",
                grpc.StatusCode.DEADLINE_EXCEEDED,
                408,
            ) from None
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._options.max_body_bytes:
            self._metrics.refused("size")
            raise _Unread(
                f"The request's body has {size:,} bytes or more, this server takes {self._options.max_body_bytes:,}. "
                "Send fewer rows at once.",
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                413,
            )

    async def _in(self, threads: futures.ThreadPoolExecutor, work: Callable[..., bytes], *arguments: Any) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

    # --- in a thread --------------------------------------------------------------------------------------------

    def _told(self, asked: Route, call: Call) -> bytes:
        """What is known of the model."""
        if asked.what == "status":
            request = prediction_pb2.GetModelStatusRequest()
            asked.fill(request.model_spec)
            return answers.status(status(self._models, request, call))
        version, found_signatures = signatures(self._models, asked.fill(prediction_pb2.ModelSpec()), call)
        return answers.metadata(asked.name, version, found_signatures)

    def _computed(self, asked: Route, headers: dict[bytes, bytes], body: bytes, call: Call, start: float) -> bytes:
        """What the model says."""
        with self._admission.worker(self._options.timeout - (time.perf_counter() - start)):
            document = parse(self._plain(headers, body))
            signature = document.get("signature_name", "")
            if not isinstance(signature, str):
                raise RequestError(
                    "JSON Value is not formatted correctly. 'signature_name' key must be a string value."
                )
            if asked.what == "predict":
                return self._predicted(asked, signature, document, call)
            return self._inferred(asked, signature, document, call)

    def _predicted(self, asked: Route, signature: str, document: dict[str, Any], call: Call) -> bytes:
        with found(self._models, asked.fill(prediction_pb2.ModelSpec()), call) as servable:
            name = signature or DEFAULT_SIGNATURE
            known = servable.runtime.signatures
            if name not in known:
                raise RequestError(
                    f'Serving signature name: "{name}" not found in signature def.{did_you_mean(name, known)}'
                )
            by_row, inputs = inputs_of(document, known[name].inputs)
            return answers.predictions(servable.predict(name, inputs), by_row=by_row)

    def _inferred(self, asked: Route, signature: str, document: dict[str, Any], call: Call) -> bytes:
        request = (
            classification_pb2.ClassificationRequest()
            if asked.what == "classify"
            else classification_pb2.RegressionRequest()
        )
        asked.fill(request.model_spec).signature_name = signature
        examples.fill(document, request.input)
        with found(self._models, request.model_spec, call) as servable:
            if asked.what == "classify":
                return answers.classes(classify(request, servable, call.model).result)
            return answers.values(regress(request, servable, call.model).result)

    def _plain(self, headers: dict[bytes, bytes], body: bytes) -> bytes:
        """The body without its compression. Raises `RequestError`."""
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding == b"identity":
            return body
        if encoding != b"gzip":
            raise RequestError(f"Content-Encoding {encoding.decode('latin-1')!r} is not known. Valid: 'gzip'.")
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            plain = stream.decompress(body, self._options.max_body_bytes + 1)
        except zlib.error as error:
            raise RequestError(f"The request's body is not gzip: {error}.") from None
        self._check_size(len(plain))
        if not stream.eof:
            raise RequestError("The request's body is cut short: its gzip stream does not end.")
        return plain

    def _failed(self, method: str, code: grpc.StatusCode, text: str, error: Exception) -> None:
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._metrics.refused("deadline")
        unexpected = not isinstance(error, CtrkitError)
        level = logging.ERROR if unexpected else logging.WARNING
        self._problems.note(f"REST {method} {code.name}", text, level=level, error=error if unexpected else None)

    def close(self) -> None:
        """After the last request: end the threads."""
        self._control.shutdown()


async def _reply(send: _Send, status_code: int, kind: str, text: bytes, *, close: bool) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(text)).encode())]
    headers += [(b"connection", b"close")] if close else []
    await send({"type": "http.response.start", "status": status_code, "headers": headers})
    await send({"type": "http.response.body", "body": text})
