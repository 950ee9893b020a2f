"""More than a server can do: it refuses early, keeps deadlines, sends the slow away, still answers about itself."""

from __future__ import annotations

import socket
import threading
import time

import grpc
import numpy as np
import pytest

from ctrkit.serving import Connection
from ctrkit.serving.admission import Admission
from ctrkit.serving.protos import health_pb2, prediction_pb2
from ctrkit.serving.refusal import Refusal

from .calls import CHECK, PREDICT, STATUS, asked, outcome, predict_request

LONG = 40_000  # Steps of the model's loop that take some tenths of a second.


def work(steps: int) -> bytes:
    return predict_request("halves", "work", work=np.int32(steps))


def calls_so_far(channel: grpc.Channel) -> int:
    response = prediction_pb2.PredictResponse.FromString(asked(channel, PREDICT, work(0)).result())
    return response.outputs["calls"].int_val[0]


@pytest.fixture
def channel(halves_server):  # type: ignore[no-untyped-def]
    with grpc.insecure_channel(halves_server.target) as opened:
        yield opened


def test_requests_beyond_the_queue_are_refused_at_once_and_the_rest_is_answered(halves_server, channel, ask) -> None:  # type: ignore[no-untyped-def]
    before = calls_so_far(channel)
    predict = channel.unary_unary(PREDICT)
    taken = [predict.future(work(LONG), timeout=30) for _ in range(3)]  # One computes, two wait.
    while ask(halves_server, "/monitoring/prometheus/metrics")[1].count("ctrkit_requests_in_flight 3.0") == 0:
        time.sleep(0.005)
    start = time.perf_counter()
    refused = asked(channel, PREDICT, work(0))
    status, told = ask(halves_server, "/v1/models/halves:predict", {"instances": [1.0]})
    assert time.perf_counter() - start < 0.5
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "The server is busy: 3 requests are under way or wait, which is its limit." in refused.details()
    assert status == 429
    assert told["error"] == refused.details()
    # Questions about the server itself are answered meanwhile.
    request = prediction_pb2.GetModelStatusRequest()
    request.model_spec.name = "halves"
    assert asked(channel, STATUS, request.SerializeToString(), timeout=1).code() == grpc.StatusCode.OK
    assert asked(channel, CHECK, b"", timeout=1).code() == grpc.StatusCode.OK
    assert ask(halves_server, "/v1/models/halves")[0] == 200
    assert not all(one.done() for one in taken)
    assert [one.code() for one in taken] == [grpc.StatusCode.OK] * 3
    assert calls_so_far(channel) == before + 3 + 1
    assert 'ctrkit_refusals_total{reason="queue"} 2.0' in ask(halves_server, "/monitoring/prometheus/metrics")[1]


def test_work_whose_deadline_passed_or_whose_client_left_is_not_done(halves_server, channel, ask) -> None:  # type: ignore[no-untyped-def]
    before = calls_so_far(channel)
    predict = channel.unary_unary(PREDICT)
    first = predict.future(work(5 * LONG), timeout=30)
    while ask(halves_server, "/monitoring/prometheus/metrics")[1].count("ctrkit_requests_in_flight 1.0") == 0:
        time.sleep(0.005)  # Until it computes, so that whatever comes waits behind it.
    late = predict.future(work(0), timeout=0.1)
    left = predict.future(work(0), timeout=30)
    time.sleep(0.1)
    left.cancel()
    assert late.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert first.code() == grpc.StatusCode.OK
    assert calls_so_far(channel) == before + 1 + 1


def test_a_request_that_never_arrives_is_ended_and_holds_no_worker(ctr_server, index) -> None:  # type: ignore[no-untyped-def]
    never = threading.Event()

    def stuck():  # type: ignore[no-untyped-def]
        never.wait(20)
        yield b""

    with grpc.insecure_channel(ctr_server.target) as channel:
        slow = [channel.stream_unary(PREDICT).future(stuck(), timeout=20) for _ in range(4)]  # There are two workers.
        with Connection(ctr_server.target, deadline=20) as connection:
            ids = np.ones((1, index.width), np.int32)
            start = time.perf_counter()
            assert connection.predict("serving_default", {"ids": ids}).outputs["ctr"].shape == (1, 1)
            assert time.perf_counter() - start < 0.5
        assert [one.code() for one in slow] == [grpc.StatusCode.CANCELLED] * 4  # After the second that it may take.
        never.set()


def test_messages_beyond_the_limit_are_refused(ctr_server, index) -> None:  # type: ignore[no-untyped-def]
    large = predict_request("ctr", ids=np.ones((20_000, index.width), np.int32))
    with grpc.insecure_channel(ctr_server.target) as channel:
        code, text = outcome(asked(channel, PREDICT, large))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in text


def test_a_call_without_a_message_is_refused(ctr_server) -> None:  # type: ignore[no-untyped-def]
    with grpc.insecure_channel(ctr_server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(PREDICT)(iter(()), timeout=20)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert caught.value.details() == "The call ended without a message, expected one request."  # type: ignore[attr-defined]


def test_bytes_that_are_no_http2_harm_nobody(ctr_server, index) -> None:  # type: ignore[no-untyped-def]
    host, _, port = ctr_server.target.rpartition(":")
    for raw in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, b"\x00" * 1000):
        with socket.create_connection((host, int(port)), timeout=20) as one:
            one.sendall(raw)
    with grpc.insecure_channel(ctr_server.target) as channel:
        ids = np.ones((1, index.width), np.int32)
        assert asked(channel, PREDICT, predict_request("ctr", ids=ids)).code() == grpc.StatusCode.OK


def test_admission_counts_what_waits_and_gives_up_at_the_deadline() -> None:
    admission = Admission(workers=1, max_queue=1)
    go = threading.Event()

    def hold() -> None:
        with admission.worker(None):
            go.wait(20)

    first = admission.submit(hold)
    while admission._slots._value:  # type: ignore[attr-defined]
        time.sleep(0.001)
    assert (admission.pending, admission.is_full) == (1, False)
    with (
        pytest.raises(Refusal, match="The deadline passed before the request was started") as caught,
        admission.worker(0.01),
    ):
        pass
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    second = admission.submit(hold)
    assert admission.is_full
    go.set()
    first.result(20)
    second.result(20)
    admission.shutdown()
    assert admission.pending == 0


def test_health_is_told_by_service_and_by_model(ctr_server) -> None:  # type: ignore[no-untyped-def]
    serving = health_pb2.HealthCheckResponse(status=1).SerializeToString()
    with grpc.insecure_channel(ctr_server.target) as channel:
        for name in ("", "tensorflow.serving.PredictionService", "ctr"):
            request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
            assert asked(channel, CHECK, request).result() == serving
        call = asked(channel, CHECK, health_pb2.HealthCheckRequest(service="crt").SerializeToString())
        assert call.code() == grpc.StatusCode.NOT_FOUND
        assert "No service and no model 'crt' here." in call.details()
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        known = watch(health_pb2.HealthCheckRequest(service="ctr").SerializeToString(), timeout=20)
        assert next(known) == serving
        unknown = watch(health_pb2.HealthCheckRequest(service="crt").SerializeToString(), timeout=20)
        assert next(unknown) == health_pb2.HealthCheckResponse(status=3).SerializeToString()
        known.cancel()
        unknown.cancel()
