"""Send requests from a process of its own, in an open or a closed loop, and note each one's latency and status.

An open loop sends at fixed times whatever the server does, and counts latency from the intended time, so that a
server that stands still is charged for everyone who had to wait. A closed loop keeps `connections` requests under way.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
]
LEAD = 0.3  # Seconds between the generator's start of counting and the first request.


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent: as fast as `connections` can (closed loop), or by `phases` of (requests a second, seconds)."""

    target: str
    seconds: float = 0.0  # Of a closed loop.
    phases: tuple[tuple[float, float], ...] = ()
    connections: int = 4
    deadline: float = 10.0  # Seconds.
    metadata: tuple[tuple[str, str], ...] = ()
    cores: tuple[int, ...] = ()  # That the generator may use; none: all.

    @property
    def duration(self) -> float:
        """Seconds."""
        return sum(seconds for _, seconds in self.phases) or self.seconds


@dataclass(frozen=True)
class Measured:
    """One line a request: when it was due (monotonic seconds), its milliseconds, its gRPC status; and the costs."""

    due: np.ndarray
    milliseconds: np.ndarray
    code: np.ndarray
    version: np.ndarray
    generator_cpu: float  # Seconds.
    seconds: float

    @property
    def good(self) -> np.ndarray:
        return self.milliseconds[self.code == 0]

    def p(self, percent: float) -> float:
        """A percentile of the good answers, in milliseconds."""
        return float(np.percentile(self.good, percent)) if len(self.good) else float("nan")

    def between(self, begin: float, end: float) -> Measured:
        """The requests that were due in these seconds, counted from the first."""
        since = self.due - self.due.min()
        kept = (since >= begin) & (since < end)
        columns = (column[kept] for column in (self.due, self.milliseconds, self.code, self.version))
        return Measured(*columns, generator_cpu=float("nan"), seconds=end - begin)

    @property
    def answered(self) -> float:
        """Good answers a second."""
        return float((self.code == 0).sum() / self.seconds)


def halves(*, apart: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cores for the server and for the generator: half of them each, as if on two machines, or all for both."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if not apart:
        return cores, cores
    if len(cores) < 2:
        raise SystemExit("--apart needs two cores.")
    return cores[: len(cores) // 2], cores[len(cores) // 2 :]


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """What is started inside the block stays on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Running:
    """A generator that runs; `result()` waits for it."""

    def __init__(self, load: Load, requests: Sequence[bytes]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "requests").write_bytes(pickle.dumps(list(requests)))
        (folder / "load.json").write_text(json.dumps(asdict(load)))
        self._out = folder / "out.npz"
        self._process = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(folder)])

    def result(self) -> Measured:
        status = self._process.wait()
        if status != 0:
            raise SystemExit(f"The load generator ended with status {status}.")
        with np.load(self._out) as found:
            measured = Measured(
                found["due"], found["ms"], found["code"], found["version"], float(found["cpu"]), float(found["seconds"])
            )
        self._folder.cleanup()
        return measured


def run(load: Load, requests: Sequence[bytes]) -> Measured:
    """Send, wait, measure."""
    return Running(load, requests).result()


# --- in the generator's process -------------------------------------------------------------------------------------


def versions_of(answers: Sequence[bytes]) -> np.ndarray:
    """The version that each PredictResponse names, -1 for none; read at the end, as parsing costs the generator."""
    from ctrkit.serving.protos import prediction_pb2

    parsed = prediction_pb2.PredictResponse.FromString
    return np.array([int(parsed(answer).model_spec.version.value) if answer else -1 for answer in answers])


def open_loop(load: Load, requests: Sequence[bytes]) -> dict[str, np.ndarray]:
    channels = [grpc.insecure_channel(load.target, options=CHANNEL) for _ in range(load.connections)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(30)
    methods = [channel.unary_unary(PREDICT) for channel in channels]
    begins = np.cumsum([0.0, *[seconds for _, seconds in load.phases]])
    parts = [at + np.arange(int(rate * s)) / rate for at, (rate, s) in zip(begins, load.phases, strict=False)]
    due = time.monotonic() + LEAD + np.concatenate(parts)
    count = len(due)
    ms, code, answers = np.full(count, np.nan), np.full(count, -1), [b""] * count
    left = threading.Semaphore(0)

    def done(future: grpc.Future, i: int) -> None:
        ms[i] = (time.monotonic() - due[i]) * 1e3
        code[i] = future.code().value[0]
        if code[i] == 0:
            answers[i] = future.result()
        left.release()

    for i in range(count):
        wait = due[i] - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        future = methods[i % len(methods)].future(
            requests[i % len(requests)], timeout=load.deadline, metadata=load.metadata
        )
        future.add_done_callback(lambda future, i=i: done(future, i))
    for _ in range(count):
        left.acquire()
    return {"due": due, "ms": ms, "code": code, "version": versions_of(answers)}


def closed_loop(load: Load, requests: Sequence[bytes]) -> dict[str, np.ndarray]:
    found: list[tuple[float, float, int, bytes]] = []
    until = time.monotonic() + load.seconds

    def keep_asking(start: int) -> None:
        method = grpc.insecure_channel(load.target, options=CHANNEL).unary_unary(PREDICT)
        i = start
        while time.monotonic() < until:
            at = time.monotonic()
            try:
                answer, code = method(requests[i % len(requests)], timeout=load.deadline), 0
            except grpc.RpcError as error:
                answer, code = b"", error.code().value[0]
            found.append((at, (time.monotonic() - at) * 1e3, code, answer))
            i += 1

    threads = [threading.Thread(target=keep_asking, args=[n]) for n in range(load.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    due, ms, code = (np.array([line[i] for line in found]) for i in range(3))
    return {"due": due, "ms": ms, "code": code, "version": versions_of([line[3] for line in found])}


def _tuples(value: Any) -> Any:
    """What JSON made lists of."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with load.json and requests; out.npz is written there")
    folder = parser.parse_args().folder
    described = json.loads((folder / "load.json").read_text())
    load = Load(**{name: _tuples(value) for name, value in described.items()})
    requests = pickle.loads((folder / "requests").read_bytes())
    if load.cores:
        os.sched_setaffinity(0, load.cores)
    before = time.process_time()
    found = open_loop(load, requests) if load.phases else closed_loop(load, requests)
    cpu = time.process_time() - before
    np.savez(folder / "out.npz", cpu=cpu, seconds=load.duration, **found)


if __name__ == "__main__":
    main()
