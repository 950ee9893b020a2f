"""SIGTERM: health says so, what is under way is answered, what comes is refused, and the process ends with status 0."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter

import grpc
import numpy as np
import pytest

from ctrkit.serving import serve_in_process
from ctrkit.serving.options import RestOptions
from ctrkit.serving.process import ServerProcess
from ctrkit.serving.protos import health_pb2

from .calls import CHECK, PREDICT, asked, outcome, predict_request


def test_a_server_told_to_stop_drains(halves, ask) -> None:  # type: ignore[no-untyped-def]
    options = {"name": "halves", "require_index": False, "rest": RestOptions(), "grace": 20.0}
    with serve_in_process(halves, **options) as server, grpc.insecure_channel(server.target) as channel:
        predict = channel.unary_unary(PREDICT)
        long = predict.future(predict_request("halves", "work", work=np.int32(60_000)), timeout=30)
        while ask(server, "/monitoring/prometheus/metrics")[1].count("ctrkit_requests_in_flight 1.0") == 0:
            time.sleep(0.005)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == 1
        idle = socket.create_connection(_address(server))
        assert idle.recv(4096)  # gRPC's settings: it was taken in.
        server.process.send_signal(signal.SIGTERM)
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == 2
        late = asked(channel, PREDICT, predict_request("halves", x=np.ones(1, np.float32)))
        assert outcome(late) == (grpc.StatusCode.UNAVAILABLE, "The server is stopping. Ask another one.")
        assert health_pb2.HealthCheckResponse.FromString(asked(channel, CHECK, b"").result()).status == 2
        with idle:  # Ended at once, not when the others have their answers: its client looks for another server.
            while idle.recv(4096):
                pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(_address(server))
        assert not long.done()
        assert long.code() == grpc.StatusCode.OK
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log_tail(100)


def test_clients_that_never_pause_see_no_status_but_ok_and_unavailable(halves) -> None:  # type: ignore[no-untyped-def]
    seen: Counter[grpc.StatusCode] = Counter()
    ended = threading.Event()

    def keep_asking(target: str) -> None:
        with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            while not ended.is_set():
                seen[asked(channel, PREDICT, predict_request("halves", x=np.ones(1, np.float32))).code()] += 1

    with serve_in_process(halves, name="halves", require_index=False) as server:
        threads = [threading.Thread(target=keep_asking, args=[server.target]) for _ in range(6)]
        for thread in threads:
            thread.start()
        while seen[grpc.StatusCode.OK] < 50:
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        ended.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


def test_an_answer_that_takes_longer_than_the_grace_is_unavailable(halves, ask) -> None:  # type: ignore[no-untyped-def]
    options = {"name": "halves", "require_index": False, "rest": RestOptions(), "grace": 0.2}
    with serve_in_process(halves, **options) as server, grpc.insecure_channel(server.target) as channel:
        long = channel.unary_unary(PREDICT).future(predict_request("halves", "work", work=np.int32(60_000)), timeout=30)
        while ask(server, "/monitoring/prometheus/metrics")[1].count("ctrkit_requests_in_flight 1.0") == 0:
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        assert long.code() == grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(20) == 0


def _address(server: ServerProcess) -> tuple[str, int]:
    host, _, port = server.target.rpartition(":")
    return host, int(port)
