"""However gRPC calls a connection that broke, the question is asked again; a mistake of the chief is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.address import Address
from ctrkit.training.cluster.dispatch.calls import PATH, RemoteCalls


@contextmanager
def chief(run_dir: Path, answer: Callable[[int, Any], bytes]) -> Iterator[list[int]]:
    """A server whose `status` is `answer(number of the question, context)`; yields the numbers so far."""
    asked: list[int] = []

    def handle(_: bytes, context: Any) -> bytes:
        asked.append(len(asked))
        return answer(asked[-1], context)

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(handle) if details.method == PATH + "status" else None

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    Address(host="127.0.0.1", port=port, pid=1, service="s", generation=1, fingerprint="f").write(run_dir)
    try:
        yield asked
    finally:
        server.stop(None)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        (grpc.StatusCode.INTERNAL, "RST_STREAM"),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
    ],
)
def test_a_question_whose_connection_broke_is_asked_again(tmp_path: Path, code: grpc.StatusCode, details: str) -> None:
    def answer(number: int, context: Any) -> bytes:
        if number < 2:
            context.abort(code, details)
        return json.dumps({"number": number}).encode()

    with chief(tmp_path, answer):
        calls = RemoteCalls(tmp_path, give_up=30)
        assert calls.call("status", {}, seconds=10) == {"number": 2}
        calls.close()


def test_a_mistake_of_the_chief_is_told_at_once(tmp_path: Path) -> None:
    def answer(number: int, context: Any) -> bytes:
        raise KeyError("no such role")

    with chief(tmp_path, answer) as asked:
        calls = RemoteCalls(tmp_path, give_up=30)
        with pytest.raises(TrainingError, match=r"answered UNKNOWN: Exception calling application: 'no such role'"):
            calls.call("status", {}, seconds=10)
        calls.close()
    assert asked == [0]


def test_a_refusal_is_told_at_once(tmp_path: Path) -> None:
    def answer(number: int, context: Any) -> bytes:
        return context.abort(grpc.StatusCode.INVALID_ARGUMENT, "role is no integer")  # type: ignore[no-any-return]

    with chief(tmp_path, answer) as asked:
        calls = RemoteCalls(tmp_path, give_up=30)
        with pytest.raises(TrainingError, match="answered INVALID_ARGUMENT: role is no integer"):
            calls.call("status", {}, seconds=10)
        calls.close()
    assert asked == [0]
