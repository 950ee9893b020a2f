"""The gRPC methods, from bytes to bytes: TensorFlow Serving's paths and fields; every error has a status and a text."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ctrkit.errors import CtrkitError, RequestError
from ctrkit.serving.admission import Admission, Arrivals, InPlace
from ctrkit.serving.drain import Taken, stopping
from ctrkit.serving.health import HEALTH_SERVICE, MAX_WATCHERS, Health
from ctrkit.serving.methods.call import FINGERPRINT_KEY, Call, found
from ctrkit.serving.methods.compute import METHODS, Method
from ctrkit.serving.methods.metadata import metadata
from ctrkit.serving.methods.status import reload, status
from ctrkit.serving.metrics import Metrics
from ctrkit.serving.models import ServedModels
from ctrkit.serving.problems import Problems
from ctrkit.serving.protos import health_pb2, model_server_config_pb2, prediction_pb2
from ctrkit.serving.refusal import Refusal, failure

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
RELOAD = f"/{MODEL_SERVICE}/HandleReloadConfigRequest"
CONTROL_THREADS = 4  # For questions about the server itself, which are answered however busy the models are.
LONGEST_DETAIL = 1500  # Characters; gRPC drops the whole answer when its headers pass 8 KB.
LOG = logging.getLogger(__name__)

_Answer = Callable[[bytes, Call], bytes]


class Handlers(grpc.GenericRpcHandler):
    """The methods of one server; those that compute go through `admission`.

    A method's message is taken from gRPC as if more could follow: a call is then known before its message has come, and
    one whose message never comes can be ended.
    """

    def __init__(
        self, models: ServedModels, admission: Admission, health: Health, metrics: Metrics, *, receive_timeout: float
    ) -> None:
        self._models, self._admission, self._health, self._metrics = models, admission, health, metrics
        self.on_reload: Callable[[bytes], None] | None = None  # Told of each reload that was carried out.
        self.taken = Taken()
        self._arrivals = Arrivals(receive_timeout)
        self._problems = Problems(LOG)
        self._control = futures.ThreadPoolExecutor(CONTROL_THREADS, thread_name_prefix="ctrkit-control")
        self._watching = futures.ThreadPoolExecutor(MAX_WATCHERS + 1, thread_name_prefix="ctrkit-health")
        self._busy = _handler(partial(self._refuse, "queue", admission.full), InPlace())
        self._stopping = _handler(partial(self._refuse, "stopping", stopping), InPlace())
        self._computing = {}
        for name, method in METHODS.items():
            code = self._answering(name, partial(self._computed, method), self.taken.come, computes=True)
            self._computing[f"/{PREDICTION_SERVICE}/{name}"] = _handler(code, admission)
        self._reloading = _handler(
            self._answering("HandleReloadConfigRequest", self._reload, self.taken.come), self._control
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call that has just begun; gRPC asks in the one thread that takes in all calls."""
        path = handler_call_details.method
        handler = self._computing.get(path)
        if handler is not None and self._admission.is_full and not self.taken.closed:
            return self._busy
        if path == RELOAD:
            handler = self._reloading
        return handler if handler is None or self.taken.begin() else self._stopping

    def registered(self) -> dict[str, dict[str, grpc.RpcMethodHandler]]:
        """By service and name the methods that are answered until the end, however busy the server is.

        gRPC holds calls of a registered method in a queue of its own, which a flood of other calls does not fill.
        """
        plain: dict[str, dict[str, _Answer]] = {
            PREDICTION_SERVICE: {"GetModelMetadata": self._metadata},
            MODEL_SERVICE: {"GetModelStatus": self._status},
            HEALTH_SERVICE: {"Check": self._check},
        }
        handlers = {
            service: {
                name: _handler(self._answering(name, method, self.taken.watch), self._control)
                for name, method in methods.items()
            }
            for service, methods in plain.items()
        }
        watch = _Behavior(self._watch, self._watching)
        handlers[HEALTH_SERVICE]["Watch"] = grpc.unary_stream_rpc_method_handler(watch)
        return handlers

    def close(self) -> None:
        """After the last call: end the threads."""
        self._arrivals.close()
        self._control.shutdown()
        self._watching.shutdown()

    # --- methods ------------------------------------------------------------------------------------------------

    def _computed(self, method: Method, raw: bytes, call: Call) -> bytes:
        request = method.read(raw)
        with found(self._models, method.spec(request), call) as servable:
            return method.answer(request, servable, call.model)

    def _metadata(self, raw: bytes, call: Call) -> bytes:
        request = prediction_pb2.GetModelMetadataRequest.FromString(raw)
        answer: bytes = metadata(self._models, request, call).SerializeToString()
        return answer

    def _status(self, raw: bytes, call: Call) -> bytes:
        request = prediction_pb2.GetModelStatusRequest.FromString(raw)
        answer: bytes = status(self._models, request, call).SerializeToString()
        return answer

    def _reload(self, raw: bytes, call: Call) -> bytes:
        request = model_server_config_pb2.ReloadConfigRequest.FromString(raw)
        answer: bytes = reload(self._models, request).SerializeToString()
        self._health.changed()
        if self.on_reload is not None:
            self.on_reload(raw)
        return answer

    def _check(self, raw: bytes, call: Call) -> bytes:
        request = health_pb2.HealthCheckRequest.FromString(raw)
        answer: bytes = self._health.check(request).SerializeToString()
        return answer

    def _watch(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.taken.watch(context)
        try:
            request = health_pb2.HealthCheckRequest.FromString(raw)
            for response in self._health.watch(request, context):
                yield response.SerializeToString()
        except Exception as error:
            _tell(context, *failure(error))

    # --- calls --------------------------------------------------------------------------------------------------

    def _refuse(
        self, reason: str, why: Callable[[], Refusal], _: Iterator[bytes], context: grpc.ServicerContext
    ) -> bytes:
        """Before the message is read: refusing has to cost less than answering."""
        error = why()
        self._metrics.refused(reason)
        self._problems.note("refused", str(error))
        return _tell(context, error.code, str(error))

    def _answering(
        self, name: str, method: _Answer, begins: Callable[[grpc.ServicerContext], None], *, computes: bool = False
    ) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
        """Turn every exception into a status: a request can never end the server."""

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            start, call = time.perf_counter(), Call()
            begins(context)
            try:
                raw = self._received(messages, context)
                if raw is None:
                    return b""
                for key, value in context.invocation_metadata():
                    if key == FINGERPRINT_KEY:
                        call.fingerprint = str(value)
                if computes:
                    with self._admission.worker(context.time_remaining()):
                        if not context.is_active():  # The client gave up while it waited.
                            self._metrics.refused("cancelled")
                            return b""
                        result = method(raw, call)
                else:
                    result = method(raw, call)
            except Exception as error:
                code, text = failure(error)
                self._failed(name, call, code, text, error, time.perf_counter() - start)
                return _tell(context, code, text)
            self._metrics.request(call.model, call.version, name, grpc.StatusCode.OK, time.perf_counter() - start)
            return result

        return answer

    def _received(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        """The call's message; None when its client has gone or was sent away."""
        self._arrivals.begin(context, lambda: self._end(context))
        try:
            return next(messages)
        except StopIteration:
            raise RequestError("The call ended without a message, expected one request.") from None
        except grpc.RpcError:
            return None
        finally:
            self._arrivals.done(context)

    def _end(self, context: Any) -> None:
        self._metrics.refused("slow")
        self._problems.note("slow", "a request did not arrive in time; its call was ended")
        context.cancel()

    def _failed(
        self, method: str, call: Call, code: grpc.StatusCode, text: str, error: Exception, seconds: float
    ) -> None:
        self._metrics.request(call.model, call.version, method, code, seconds)
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._metrics.refused("deadline")
        unexpected = not isinstance(error, (CtrkitError, DecodeError))
        level = logging.ERROR if unexpected else logging.WARNING
        self._problems.note(f"{method} {code.name}", text, level=level, error=error if unexpected else None)


class _Behavior:
    """A method's code and the threads to run it in: gRPC looks for them in this attribute."""

    def __init__(self, code: Callable[..., Any], threads: futures.ThreadPoolExecutor) -> None:
        self._code, self.experimental_thread_pool = code, threads

    def __call__(self, *arguments: Any) -> Any:
        return self._code(*arguments)


def _handler(code: Callable[..., bytes], threads: futures.ThreadPoolExecutor) -> grpc.RpcMethodHandler:
    return grpc.stream_unary_rpc_method_handler(_Behavior(code, threads))


def _tell(context: grpc.ServicerContext, code: grpc.StatusCode, text: str) -> bytes:
    context.set_code(code)
    context.set_details(text[:LONGEST_DETAIL])
    return b""
