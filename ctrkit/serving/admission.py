"""Decide which requests are taken on: a bounded number waits for a bounded number of workers, none waits in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from ctrkit.serving.refusal import Refusal

LOOK_EVERY = 0.5  # Seconds between two looks for requests that do not arrive.


class Admission(futures.ThreadPoolExecutor):
    """The threads of all requests that were taken on: `workers` of them compute, up to `max_queue` wait.

    A waiting request holds a thread, so that one which never arrives whole takes a place in the queue and no worker.
    """

    def __init__(self, workers: int, max_queue: int) -> None:
        super().__init__(workers + max_queue, thread_name_prefix="ctrkit-serving")
        self.workers, self.capacity = workers, workers + max_queue
        self._pending = 0
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(workers)

    @property
    def pending(self) -> int:
        """Requests taken on and not yet answered."""
        return self._pending

    @property
    def is_full(self) -> bool:
        """Whether the next request must be refused."""
        return self._pending >= self.capacity

    def full(self) -> Refusal:
        """What a request is told that finds no place."""
        return Refusal(
            f"The server is busy: {self.capacity} requests are under way or wait, which is its limit. Try another "
            "server, or again after a while; more fit with `--max-queue`.",
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run in one of the threads, and count until done. Does not look whether there is place: see `is_full`."""
        with self._lock:
            self._pending += 1
        try:
            return super().submit(self._counted, fn, *args, **kwargs)
        except BaseException:
            self._done()
            raise

    @contextmanager
    def worker(self, remaining: float | None) -> Iterator[None]:
        """Hold one of the workers inside the block. Raises `Refusal` when none comes free in `remaining` seconds."""
        if remaining is not None and remaining <= 0:
            raise late()
        if not self._slots.acquire(timeout=None if remaining is None else min(remaining, threading.TIMEOUT_MAX)):
            raise late()
        try:
            yield
        finally:
            self._slots.release()

    def _counted(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        finally:
            self._done()

    def _done(self) -> None:
        with self._lock:
            self._pending -= 1


def late() -> Refusal:
    """What a request is told whose deadline passed before a worker took it up."""
    return Refusal("The deadline passed before the request was started.", grpc.StatusCode.DEADLINE_EXCEEDED)


class Arrivals:
    """The calls whose message has not come yet; `end` is called on those that take more than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[int, tuple[float, Callable[[], Any]]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ctrkit-arrivals", daemon=True)
        self._thread.start()

    def begin(self, call: object, end: Callable[[], Any]) -> None:
        """A call waits for its message from now on."""
        self._waiting[id(call)] = time.monotonic(), end

    def done(self, call: object) -> None:
        """It came, or never will."""
        self._waiting.pop(id(call), None)

    def close(self) -> None:
        """Look no longer."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(min(LOOK_EVERY, self._seconds / 2)):
            before = time.monotonic() - self._seconds
            for since, end in list(self._waiting.values()):
                if since < before:
                    end()


class InPlace(futures.ThreadPoolExecutor):
    """Runs at once in the thread that submits: for answers that take microseconds and must not wait for a thread."""

    def __init__(self) -> None:
        super().__init__(1)  # Never started.

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run now."""
        future: futures.Future[Any] = futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future
