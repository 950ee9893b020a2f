"""A model server as it is often written first: new versions are loaded in the pool that answers requests, unwarmed.

python naive_server.py BASE [--workers 2]   prints "host:port" when it answers
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc

from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.runtime import SavedModelRuntime
from ctrkit.serving.versions import latest_version
from ctrkit.serving.wire import array_of, pack_typed

POLL = 0.2  # Seconds.


class NaiveServer:
    """Answers Predict from the newest version; loads the next one in a request thread."""

    def __init__(self, base: Path, workers: int, *, idle: bool = False) -> None:
        self._base, self._idle = base, idle
        self._pool = futures.ThreadPoolExecutor(workers)
        self._load()

    def _load(self) -> None:
        self.version, path = latest_version(self._base)
        self._runtime = SavedModelRuntime.load(path)

    def predict(self, raw: bytes, _: grpc.ServicerContext) -> bytes:
        request = prediction_pb2.PredictRequest.FromString(raw)
        inputs = {name: array_of(tensor, name) for name, tensor in request.inputs.items()}
        version, signature = self.version, request.model_spec.signature_name
        outputs = self._runtime.run(signature, inputs, request.output_filter)
        response = prediction_pb2.PredictResponse()
        response.model_spec.version.value = version
        for name, array in outputs.items():
            pack_typed(array, response.outputs[name], name)
        return bytes(response.SerializeToString())

    def no_work(self, raw: bytes, _: grpc.ServicerContext) -> bytes:
        return b""

    def start(self) -> int:
        server = grpc.server(self._pool)
        handler = grpc.unary_unary_rpc_method_handler(self.no_work if self._idle else self.predict)
        service = "tensorflow.serving.PredictionService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Predict": handler}),))
        port = int(server.add_insecure_port("127.0.0.1:0"))
        server.start()
        threading.Thread(target=self._poll, daemon=True).start()
        self._server = server
        return port

    def _poll(self) -> None:
        while True:
            time.sleep(POLL)
            if latest_version(self._base)[0] != self.version:
                self._pool.submit(self._load).result()


@contextmanager
def naive(base: Path, *arguments: str) -> Iterator[tuple[str, int]]:
    """Target and process id of such a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(base), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip(), process.pid
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="a directory of versions")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-work", action="store_true", help="answer nothing at once: what is left is gRPC itself")
    options = parser.parse_args()
    server = NaiveServer(options.base, options.workers, idle=options.no_work)
    print(f"127.0.0.1:{server.start()}", flush=True)
    sys.stdin.read()  # Ends with its parent.


if __name__ == "__main__":
    main()
