"""Carry conversations out in the calling thread."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import grpc

from ctrkit.serving.connection.attempts import Attempts, Call, Outcome, Reply, attempts, failed
from ctrkit.serving.connection.conversation import POLL_EVERY, Conversation, Questions, Result
from ctrkit.serving.connection.messages import Answer, VersionStatus
from ctrkit.serving.connection.options import COMPRESSIONS
from ctrkit.serving.connection.targets import Lane
from ctrkit.serving.signatures import Signature


class Connection(Questions):
    """Channels to one target or several, opened on the first call; safe to share between threads."""

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Iterable[str] = (),
        *,
        version: int | None = None,
        deadline: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Compute a signature's `outputs` (all when empty); `version` goes before the connection's.

        Inputs are arrays (or what numpy makes arrays of) of the types that the signature names; strings are `str` or
        `bytes`. Raises `RequestError` when the server refuses the request, `ServingError` when it cannot be reached or
        does not answer in time.
        """
        return self.hold(
            self.asking_predict(signature, inputs, outputs, version=version, deadline=deadline, metadata=metadata)
        )

    def metadata(self, *, deadline: float | None = None) -> dict[str, Signature]:
        """The signatures of the version that is meant."""
        return self.hold(self.asking_metadata(deadline))

    def status(self, *, deadline: float | None = None) -> list[VersionStatus]:
        """The versions that one server knows, newest first."""
        return self.hold(self.asking_status(deadline))

    def wait_until_available(self, timeout: float = 60.0) -> None:
        """Return when every target has an AVAILABLE version. Raises `ServingError` with what was seen last."""
        until = time.monotonic() + timeout
        for target in self.targets.all:
            while not self.hold(self.asking_available(target.address, until, timeout)):
                time.sleep(POLL_EVERY)

    def hold(self, conversation: Conversation[Result]) -> Result:
        """Carry a conversation out and return its result."""
        try:
            calls = next(conversation)
            while True:
                try:
                    replies = self._together(calls)
                except Exception as error:
                    calls = conversation.throw(error)
                else:
                    calls = conversation.send(replies)
        except StopIteration as done:
            result: Result = done.value
            return result

    def close(self) -> None:
        """Close the channels; calls under way are cancelled."""
        opened = self.__dict__.pop("_channels", ())
        for channel in opened:
            channel.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- internals ----------------------------------------------------------------------------------------------

    @cached_property
    def _channels(self) -> tuple[grpc.Channel, ...]:
        return self.new_channels(grpc)

    @cached_property
    def _methods(self) -> dict[tuple[int, str], Any]:
        return {}

    def _method(self, lane: Lane, path: str) -> Any:
        """The lane's method; without serializers: bytes go straight through."""
        channel = self._channels[lane.number]
        found = self._methods.get((lane.number, path))
        if found is None or found[0] is not channel:
            found = self._methods[lane.number, path] = channel, channel.unary_unary(path)
        return found[1]

    def _together(self, calls: Sequence[Call]) -> list[Reply]:
        """The replies to calls that are sent side by side. Raises the first error."""
        race = _Race(self, calls)
        return race.alone() if len(calls) == 1 else race.run()


class _Race:
    """Calls under way at once, each of several attempts."""

    def __init__(self, connection: Connection, calls: Sequence[Call]) -> None:
        self._connection, self._calls = connection, calls
        self._compression = COMPRESSIONS.get(connection.options.compression or "")
        self._plans: list[Attempts] = [
            attempts(call, connection.targets, connection.hedges, connection.options) for call in calls
        ]
        self._replies: list[Reply | None] = [None] * len(calls)
        self._alarms: list[float | None] = [None] * len(calls)
        self._futures: list[dict[Any, Lane]] = [{} for _ in calls]
        self._events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def alone(self) -> list[Reply]:
        """Like `run`, for one call; as long as nothing else is to happen meanwhile, in this thread alone."""
        plan, call = self._plans[0], self._calls[0]
        try:
            step = next(plan)
            while step.wait is None and step.start is not None:
                step = plan.send(self._blocking(call, step.start, step.seconds))
            self._carry_out(0, step)
        except StopIteration as done:
            return [done.value]
        return self._watch()

    def run(self) -> list[Reply]:
        for number in range(len(self._plans)):
            self._advance(number, None)
        return self._watch()

    def _watch(self) -> list[Reply]:
        try:
            while None in self._replies:
                alarms = [alarm for alarm in self._alarms if alarm is not None]
                left = None if not alarms else max(0.0, min(alarms) - time.monotonic())
                try:
                    number, future = self._events.get(timeout=left)
                except queue.Empty:
                    now = time.monotonic()
                    for number, alarm in enumerate(self._alarms):
                        if alarm is not None and alarm <= now:
                            self._advance(number, None)
                    continue
                lane = self._futures[number].pop(future, None)
                if lane is not None:
                    self._advance(number, _outcome(future, lane))
            return [reply for reply in self._replies if reply is not None]
        finally:
            for number, plan in enumerate(self._plans):
                self._cancel(number)
                plan.close()

    def _advance(self, number: int, outcome: Outcome | None) -> None:
        try:
            self._carry_out(number, self._plans[number].send(outcome))
        except StopIteration as done:
            self._replies[number], self._alarms[number] = done.value, None
            self._cancel(number)

    def _carry_out(self, number: int, step: Any) -> None:
        self._alarms[number] = None if step.wait is None else time.monotonic() + step.wait
        if step.start is not None:
            call = self._calls[number]
            future = self._connection._method(step.start, call.method).future(
                call.request, timeout=step.seconds, metadata=call.metadata, compression=self._compression
            )
            self._futures[number][future] = step.start
            future.add_done_callback(lambda done: self._events.put((number, done)))

    def _cancel(self, number: int) -> None:
        for future in self._futures[number]:
            future.cancel()
        self._futures[number].clear()

    def _blocking(self, call: Call, lane: Lane, seconds: float) -> Outcome:
        method = self._connection._method(lane, call.method)
        try:
            raw = method(call.request, timeout=seconds, metadata=call.metadata, compression=self._compression)
        except grpc.RpcError as error:
            return failed(error, lane)
        return Outcome(lane, raw)


def _outcome(future: Any, lane: Lane) -> Outcome:
    try:
        return Outcome(lane, future.result())
    except grpc.RpcError as error:
        return failed(error, lane)
    except grpc.FutureCancelledError:  # The connection was closed meanwhile.
        return Outcome(lane, None, grpc.StatusCode.CANCELLED, "The connection was closed.")
