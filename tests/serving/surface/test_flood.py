"""Many times what a server can do, all at once, against a process of its own: which statuses clients see.

Beyond the queue a request is told RESOURCE_EXHAUSTED. Beyond what gRPC's one thread takes in, gRPC refuses by itself,
and all that it can say is CANCELLED (so in grpcio 1.85). No client sees anything else.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from ctrkit.serving import serve_in_process
from ctrkit.serving.connection.problems import explained
from ctrkit.serving.options import LimitOptions
from ctrkit.serving.process import ServerProcess
from ctrkit.serving.protos import prediction_pb2

from .calls import CHECK, PREDICT, STATUS, asked, outcome, predict_request

CALLS, CHANNELS = 1500, 6
REFUSALS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: "The server is busy: 3 requests",
    grpc.StatusCode.CANCELLED: "CANCELLED",
}


@pytest.fixture
def server(halves: Path) -> Iterator[ServerProcess]:
    """One worker, room for two more requests; of its own, as others count what theirs refuses."""
    options = {"name": "halves", "require_index": False, "workers": 1, "limits": LimitOptions(max_queue=2)}
    with serve_in_process(halves.parent, **options) as running:
        yield running


def test_a_flood_is_refused_as_overload_and_what_is_taken_on_is_answered(server) -> None:  # type: ignore[no-untyped-def]
    channels = [
        grpc.insecure_channel(server.target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)
    ]
    methods = [channel.unary_unary(PREDICT) for channel in channels]
    about: Counter[grpc.StatusCode] = Counter()
    over = threading.Event()

    def ask_about_the_server() -> None:
        request = prediction_pb2.GetModelStatusRequest()
        request.model_spec.name = "halves"
        with grpc.insecure_channel(server.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            while not over.is_set():
                about[asked(channel, CHECK, b"").code()] += 1
                about[asked(channel, STATUS, request.SerializeToString()).code()] += 1

    asking = threading.Thread(target=ask_about_the_server)
    asking.start()
    raw = predict_request("halves", "work", work=np.int32(100))
    flood = [methods[i % CHANNELS].future(raw, timeout=30) for i in range(CALLS)]
    seen = Counter(call.code() for call in flood)
    over.set()
    asking.join()

    assert set(seen) <= {grpc.StatusCode.OK, *REFUSALS}, seen
    assert seen[grpc.StatusCode.OK] >= 3  # One computes, two wait.
    assert seen[grpc.StatusCode.RESOURCE_EXHAUSTED] > 0
    for code, text in {outcome(call) for call in flood if call.code() is not grpc.StatusCode.OK}:
        assert text.startswith(REFUSALS[code])
        assert any(word in str(explained(code, text, "here", 1.0)) for word in ("is busy", "is overloaded"))
    assert set(about) == {grpc.StatusCode.OK}, about  # Health and status are told however busy the models are.

    for call in flood:
        if call.code() is grpc.StatusCode.OK:
            answer = prediction_pb2.PredictResponse.FromString(call.result())
            assert answer.outputs["done"].int_val[0] == 100
    until = time.monotonic() + 10
    while (after := asked(channels[0], PREDICT, raw)).code() is not grpc.StatusCode.OK:
        assert time.monotonic() < until, after.details()
    for channel in channels:
        channel.close()
