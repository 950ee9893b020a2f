"""SIGTERM: health says so, what is under way is answered, what comes is refused, and the process ends with status 0."""

from __future__ import annotations

import signal
import time

import grpc
import numpy as np

from ctrkit.serving import serve_in_process
from ctrkit.serving.options import RestOptions
from ctrkit.serving.protos import health_pb2

from .calls import PREDICT, asked, predict_request


def test_a_server_told_to_stop_drains(halves, ask) -> None:  # type: ignore[no-untyped-def]
    options = {"name": "halves", "require_index": False, "rest": RestOptions(), "grace": 20.0}
    with serve_in_process(halves, **options) as server, grpc.insecure_channel(server.target) as channel:
        predict = channel.unary_unary(PREDICT)
        long = predict.future(predict_request("halves", "work", work=np.int32(60_000)), timeout=30)
        while ask(server, "/monitoring/prometheus/metrics")[1].count("ctrkit_requests_in_flight 1.0") == 0:
            time.sleep(0.005)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == 1
        server.process.send_signal(signal.SIGTERM)
        assert health_pb2.HealthCheckResponse.FromString(next(watch)).status == 2
        assert not long.done()
        while (
            late := asked(channel, PREDICT, predict_request("halves", x=np.ones(1, np.float32)))
        ).code() is grpc.StatusCode.OK:
            time.sleep(0.005)  # Health turns a moment before the port does.
        # CANCELLED: it was on its way when the port closed.
        assert late.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert long.code() == grpc.StatusCode.OK
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log_tail(100)
