"""gRPC's health protocol: serving when every model has a version that answers, not serving while the server drains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc

from ctrkit.serving.models import ServedModels
from ctrkit.serving.protos import health_pb2
from ctrkit.serving.refusal import Refusal

HEALTH_SERVICE = "grpc.health.v1.Health"
SERVICES = ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
MAX_WATCHERS = 32  # Each holds a thread.
LOOK_EVERY = 1.0  # Seconds after which a watcher looks whether its client is still there.

_Status = health_pb2.HealthCheckResponse.ServingStatus


class Health:
    """What health checks are told: about the server by a service's name, about one model by the model's."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models
        self._draining = False
        self._changed = threading.Condition()
        self._watchers = 0

    def check(self, request: Any) -> Any:
        """Answer a HealthCheckRequest. Raises `Refusal` (NOT_FOUND) for a name that is neither."""
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            known = ", ".join(map(repr, (*SERVICES, *self._models.names)))
            raise Refusal(
                f"No service and no model {request.service!r} here. Valid: {known}.", grpc.StatusCode.NOT_FOUND
            )
        return health_pb2.HealthCheckResponse(status=status)

    def watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Tell the status, and again whenever it changes. Raises `Refusal` when too many are watching."""
        with self._changed:
            if self._watchers >= MAX_WATCHERS:
                raise Refusal(
                    f"{MAX_WATCHERS} clients watch this server's health, which is its limit. Use Check.",
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                )
            self._watchers += 1
        told = None
        try:
            while context.is_active():
                with self._changed:
                    status = self._status(request.service)
                    if status == told:
                        if self._draining:
                            return
                        self._changed.wait(LOOK_EVERY)
                        continue
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
        finally:
            with self._changed:
                self._watchers -= 1

    def changed(self) -> None:
        """A version came or went: tell who watches."""
        with self._changed:
            self._changed.notify_all()

    def drain(self) -> None:
        """From now on nothing is serving."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def _status(self, service: str) -> int:
        names = self._models.names
        if service not in SERVICES and service not in names:
            unknown: int = _Status.SERVICE_UNKNOWN
            return unknown
        asked = names if service in SERVICES else (service,)
        serving = not self._draining and all(self._models.available(name) for name in asked)
        status: int = _Status.SERVING if serving else _Status.NOT_SERVING
        return status
