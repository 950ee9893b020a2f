"""What Prometheus is told, and what telling costs."""

from __future__ import annotations

import time

import grpc
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from ctrkit.errors import ServingError
from ctrkit.serving.metrics import Metrics
from ctrkit.serving.models import State, VersionState

from .calls import PREDICT, asked, predict_request


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
    }


def test_requests_are_counted_by_model_version_method_and_status(ctr_server, ask, index) -> None:  # type: ignore[no-untyped-def]
    def page() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        status, text = ask(ctr_server, "/monitoring/prometheus/metrics")
        assert status == 200
        return samples(text)

    def counted(status: str, model: str = "ctr", version: str = "1") -> tuple[str, frozenset[tuple[str, str]]]:
        labels = {"model": model, "version": version, "method": "Predict", "status": status}
        return "ctrkit_requests_total", frozenset(labels.items())

    before = page()
    good, bad = np.ones((1, index.width), np.int32), np.ones((1, 3), np.int32)
    with grpc.insecure_channel(ctr_server.target) as channel:
        for model, ids in (("ctr", good), ("ctr", good), ("ctr", bad), ("made up by a client", good)):
            asked(channel, PREDICT, predict_request(model, ids=ids))
    assert ask(ctr_server, "/v1/models/ctr:predict", {"instances": good.tolist()})[0] == 200
    after = page()
    assert after[counted("OK")] - before.get(counted("OK"), 0) == 3
    assert after[counted("INVALID_ARGUMENT")] - before.get(counted("INVALID_ARGUMENT"), 0) == 1
    assert after[counted("NOT_FOUND", "", "")] - before.get(counted("NOT_FOUND", "", ""), 0) == 1
    assert not any("made up" in value for _, labels in after for _, value in labels)
    timed = frozenset({"model": "ctr", "method": "Predict"}.items())
    assert after["ctrkit_request_seconds_count", timed] - before.get(("ctrkit_request_seconds_count", timed), 0) == 4
    state = frozenset({"model": "ctr", "version": "1", "state": "AVAILABLE"}.items())
    assert after["ctrkit_model_version_state", state] == 1
    assert after["ctrkit_model_version_load_seconds", frozenset({"model": "ctr", "version": "1"}.items())] > 0
    assert after["process_resident_memory_bytes", frozenset()] > 1e8
    assert after["process_cpu_seconds_total", frozenset()] > 0
    assert after["ctrkit_requests_capacity", frozenset()] == 10  # Two workers, and four that wait for each.


def test_a_version_that_failed_is_told_and_one_long_gone_is_forgotten() -> None:
    metrics = Metrics()
    metrics.version("m", VersionState(1, State.AVAILABLE, seconds=2.5))
    metrics.version("m", VersionState(2, State.END, ServingError("broken")))
    metrics.request("m", 1, "Predict", grpc.StatusCode.OK, 0.004)
    page = samples(metrics.page().decode())
    one = frozenset({"model": "m", "version": "1"}.items())
    two = frozenset({"model": "m", "version": "2"}.items())
    assert page["ctrkit_model_version_load_seconds", one] == 2.5
    assert page["ctrkit_model_version_failures_total", two] == 1
    assert page["ctrkit_model_version_state", two | {("state", "END")}] == 1
    for version in range(3, 200):  # A server that runs for months sees many.
        metrics.version("m", VersionState(version, State.END))
        metrics.request("m", version, "Predict", grpc.StatusCode.OK, 0.004)
    versions = {dict(labels)["version"] for _, labels in samples(metrics.page().decode()) if "version" in dict(labels)}
    assert len(versions) < 50
    assert {"1", "199"} <= versions


def test_counting_a_request_takes_little() -> None:
    metrics = Metrics()
    start = time.process_time()
    for _ in range(5000):
        metrics.request("m", 1, "Predict", grpc.StatusCode.OK, 0.004)
    assert (time.process_time() - start) / 5000 < 20e-6
