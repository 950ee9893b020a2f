"""Carry conversations out in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc

from ctrkit.serving.connection.attempts import Attempts, Call, Outcome, Reply, attempts, failed
from ctrkit.serving.connection.conversation import POLL_EVERY, Conversation, Questions, Result
from ctrkit.serving.connection.messages import Answer, VersionStatus
from ctrkit.serving.connection.options import COMPRESSIONS
from ctrkit.serving.connection.targets import Lane
from ctrkit.serving.signatures import Signature


class AsyncConnection(Questions):
    """`Connection` for asyncio: channels to one target or several, opened on the first call, for one event loop."""

    _channels: tuple[Any, ...] = ()

    async def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Iterable[str] = (),
        *,
        version: int | None = None,
        deadline: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """See `Connection.predict`."""
        return await self.hold(
            self.asking_predict(signature, inputs, outputs, version=version, deadline=deadline, metadata=metadata)
        )

    async def metadata(self, *, deadline: float | None = None) -> dict[str, Signature]:
        """See `Connection.metadata`."""
        return await self.hold(self.asking_metadata(deadline))

    async def status(self, *, deadline: float | None = None) -> list[VersionStatus]:
        """See `Connection.status`."""
        return await self.hold(self.asking_status(deadline))

    async def wait_until_available(self, timeout: float = 60.0) -> None:
        """See `Connection.wait_until_available`."""
        until = time.monotonic() + timeout
        for target in self.targets.all:
            while not await self.hold(self.asking_available(target.address, until, timeout)):
                await asyncio.sleep(POLL_EVERY)

    async def hold(self, conversation: Conversation[Result]) -> Result:
        """Carry a conversation out and return its result."""
        try:
            calls = next(conversation)
            while True:
                try:
                    replies = await self._together(calls)
                except Exception as error:
                    calls = conversation.throw(error)
                else:
                    calls = conversation.send(replies)
        except StopIteration as done:
            result: Result = done.value
            return result

    async def close(self) -> None:
        """Close the channels; calls under way are cancelled."""
        channels, self._channels = self._channels, ()
        for channel in channels:
            await channel.close()

    async def __aenter__(self) -> AsyncConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- internals ----------------------------------------------------------------------------------------------

    def _channel(self, lane: Lane) -> Any:
        if not self._channels:  # Opened here, as a channel belongs to the loop that runs when it is made.
            self._channels = self.new_channels(grpc.aio)
        return self._channels[lane.number]

    async def _together(self, calls: Sequence[Call]) -> list[Reply]:
        """The replies to calls that are sent side by side. Raises the first error."""
        if len(calls) == 1:
            return [await self._race(calls[0])]
        tasks = [asyncio.ensure_future(self._race(call)) for call in calls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _race(self, call: Call) -> Reply:
        plan: Attempts = attempts(call, self.targets, self.hedges, self.options)
        running: dict[asyncio.Task[Outcome], Lane] = {}
        try:
            step = next(plan)
            while True:
                if step.start is not None:
                    running[asyncio.ensure_future(self._attempt(call, step.start, step.seconds))] = step.start
                outcome = None
                if not running:
                    await asyncio.sleep(step.wait or 0.0)
                else:
                    done, _ = await asyncio.wait(running, timeout=step.wait, return_when=asyncio.FIRST_COMPLETED)
                    for task in list(done)[:1]:
                        del running[task]
                        outcome = task.result()
                step = plan.send(outcome)
        except StopIteration as finished:
            reply: Reply = finished.value
            return reply
        finally:
            for task in running:
                task.cancel()
            plan.close()

    async def _attempt(self, call: Call, lane: Lane, seconds: float) -> Outcome:
        method = self._channel(lane).unary_unary(call.method)
        compression = COMPRESSIONS.get(self.options.compression or "")
        try:
            raw = await method(call.request, timeout=seconds, metadata=call.metadata or None, compression=compression)
        except grpc.aio.AioRpcError as error:
            return failed(error, lane)
        return Outcome(lane, raw)
