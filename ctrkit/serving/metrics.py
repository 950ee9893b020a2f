"""Numbers for Prometheus: requests, latencies, queue, refusals, versions, batches, CPU and memory."""

from __future__ import annotations

import contextlib
import os
import threading

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    multiprocess,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from ctrkit.serving.admission import Admission
from ctrkit.serving.models import State, VersionState

PATH = "/monitoring/prometheus/metrics"  # TensorFlow Serving's.
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Seconds. Fine where a ranking budget of 10 ms is kept or missed.
LATENCIES = tuple(ms / 1e3 for ms in (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 250, 1000, 5000))
KEPT_ENDED = 32  # Versions that are over and still told of.
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Metrics:
    """One server's numbers; every method takes a few microseconds and may be called from any thread."""

    def __init__(self) -> None:
        disable_created_metrics()  # A series more for every counter, which nobody reads.
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        labels = ("model", "version", "method", "status")
        self._requests = Counter("ctrkit_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "ctrkit_request_seconds",
            "From a request's arrival to its answer, waiting included.",
            ("model", "method"),
            buckets=LATENCIES,
            registry=self.registry,
        )
        self._refused = Counter(
            "ctrkit_refusals", "Requests not taken on.", ("reason",), registry=self.registry
        )  # Reasons: queue, deadline, cancelled, draining, size, slow.
        self._state = Gauge(
            "ctrkit_model_version_state",
            "1 for the state in which a version is.",
            ("model", "version", "state"),
            registry=self.registry,
            multiprocess_mode="liveall",
        )
        self._loading = Gauge(
            "ctrkit_model_version_load_seconds",
            "How long it took until it was warm.",
            ("model", "version"),
            registry=self.registry,
            multiprocess_mode="liveall",
        )
        self._failures = Counter(
            "ctrkit_model_version_failures",
            "Versions that could not be loaded.",
            ("model", "version"),
            registry=self.registry,
        )
        self._rows = Histogram(
            "ctrkit_batch_rows", "Rows computed at once.", ("model",), buckets=ROWS, registry=self.registry
        )
        self._padded = Counter(
            "ctrkit_padding_rows", "Rows added to fill a batch bucket.", ("model",), registry=self.registry
        )
        self._in_flight = Gauge("ctrkit_requests_in_flight", "Requests under way or waiting.", registry=self.registry)
        self._queue = Gauge("ctrkit_requests_waiting", "Of those, the ones that wait.", registry=self.registry)
        self._capacity = Gauge(
            "ctrkit_requests_capacity",
            "How many are taken on at most.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._counters: dict[tuple[str, int | str, str, grpc.StatusCode], Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}
        self._ended: dict[tuple[str, int], None] = {}  # Versions that are over, the first to end first.
        self._ending = threading.Lock()

    def watch(self, admission: Admission) -> None:
        """Tell the length of this queue from now on; it is read when somebody asks."""
        self._in_flight.set_function(lambda: admission.pending)
        self._queue.set_function(lambda: max(0, admission.pending - admission.workers))
        self._capacity.set(admission.capacity)

    def request(self, model: str, version: int | str, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count an answer; `model` is one that is served, or "" (a client's word must not make a new time series)."""
        key = (model, version, method, code)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(model, version, method, code.name)
        counter.inc()
        timer = self._timers.get((model, method))
        if timer is None:
            timer = self._timers[model, method] = self._seconds.labels(model, method)
        timer.observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was not taken on."""
        self._refused.labels(reason).inc()

    def version(self, model: str, state: VersionState) -> None:
        """Note how far a version has come."""
        for name, number in State.items():
            if number:
                self._state.labels(model, state.version, name).set(number == state.state)
        if state.seconds is not None:
            self._loading.labels(model, state.version).set(state.seconds)
        if state.error is not None:
            self._failures.labels(model, state.version).inc()
        with self._ending:
            self._ended.pop((model, state.version), None)
            if state.state == State.END:
                self._ended[model, state.version] = None
                if len(self._ended) > KEPT_ENDED:
                    self._forget(*next(iter(self._ended)))

    def _forget(self, model: str, version: int) -> None:
        """Drop what is told of a version: a server that runs for months sees thousands."""
        del self._ended[model, version]
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            return  # Files that processes share are never shortened.
        for name, number in State.items():
            if number:
                self._state.remove(model, version, name)
        for gauge in (self._loading, self._failures):
            with contextlib.suppress(KeyError):  # It never loaded, or never failed.
                gauge.remove(model, version)
        for key in [key for key in self._counters if key[:2] == (model, version)]:
            del self._counters[key]
            self._requests.remove(*key[:3], key[3].name)

    def batch(self, model: str, rows: int, padded_rows: int) -> None:
        """Note a batch of `rows` from requests, computed as `padded_rows` of them."""
        self._rows.labels(model).observe(rows)
        self._padded.labels(model).inc(max(0, padded_rows - rows))

    def page(self) -> bytes:
        """What Prometheus reads; in a fleet, the sums over its processes."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)
        return generate_latest(together)
