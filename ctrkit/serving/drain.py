"""Stop answering gRPC calls: those that were taken on are answered, what comes later is told UNAVAILABLE.

gRPC's own shutdown ends calls that are on their way to it with CANCELLED, as if their clients had called them off. So
calls are refused first, and a connection that waits for no answer is ended in the kernel: its client connects again,
to another server if there is one. gRPC is shut down when nothing can be on its way any more.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import grpc

from ctrkit.serving.refusal import Refusal
from ctrkit.serving.sockets import cut


class Taken:
    """The gRPC calls that were taken on and whose answers have not left yet."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._coming = 0  # Taken on, but not yet in a thread of theirs.
        self._calls: set[grpc.ServicerContext] = set()
        self.closed = False

    def begin(self) -> bool:
        """Take a call on, whose thread calls `come`; False: none is taken on any more."""
        with self._changed:
            if not self.closed:
                self._coming += 1
            return not self.closed

    def come(self, call: grpc.ServicerContext) -> None:
        """A call that began has its thread."""
        with self._changed:
            self._coming -= 1
        self._count(call)

    def watch(self, call: grpc.ServicerContext) -> None:
        """Count a call from now until its answer has left, unless the end has begun: it is not waited for then."""
        if not self.closed:
            self._count(call)

    def _count(self, call: grpc.ServicerContext) -> None:
        with self._changed:
            self._calls.add(call)
            self._changed.notify_all()
        if not call.add_callback(partial(self._left, call)):
            self._left(call)

    def close(self) -> None:
        """From now on no call is taken on."""
        with self._changed:
            self.closed = True

    def drain(self, port: int, until: float) -> None:
        """After `close`: take no more connections at `port`, and end each one that waits for no answer.

        Returns when every answer has left, or at `until` (monotonic seconds), when all that is left is ended.
        """
        while True:
            with self._changed:
                coming, calls = self._coming, set(self._calls)
            if not coming:
                cut(port, kept={_port_of(call) for call in calls})
            if not (coming or calls) or not self._wait(coming, calls, until):
                break
        cut(port)

    def _wait(self, coming: int, calls: set[grpc.ServicerContext], until: float) -> bool:
        """Whether anything changed in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._coming != coming or self._calls != calls, max(0.0, until - time.monotonic())
            )

    def _left(self, call: grpc.ServicerContext) -> None:
        with self._changed:
            self._calls.discard(call)
            self._changed.notify_all()


def stopping() -> Refusal:
    """What a call is told that comes after the end began."""
    return Refusal("The server is stopping. Ask another one.", grpc.StatusCode.UNAVAILABLE)


def _port_of(call: grpc.ServicerContext) -> int:
    number = call.peer().rpartition(":")[2]  # "ipv4:127.0.0.1:4321"
    return int(number) if number.isdigit() else -1
