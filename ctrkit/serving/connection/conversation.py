"""The questions to a model, each as calls and what is read from their replies; threads and asyncio share them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ctrkit.errors import RequestError, ServingError
from ctrkit.serving.connection import messages
from ctrkit.serving.connection.attempts import Call, Reply
from ctrkit.serving.connection.hedges import Hedges
from ctrkit.serving.connection.messages import Answer, Served, VersionStatus
from ctrkit.serving.connection.options import ConnectionOptions
from ctrkit.serving.connection.targets import Targets
from ctrkit.serving.signatures import Signature

POLL_EVERY = 0.05  # Seconds between two looks at a server that is loading.
Result = TypeVar("Result")
Conversation = Generator[Sequence[Call], Sequence[Reply], Result]  # Calls of one list are sent side by side.


class Questions:
    """What a connection is about, and what can be asked."""

    def __init__(
        self,
        target: str | Sequence[str],
        model: str = "ctr",
        *,
        deadline: float | None = None,
        version: int | None = None,
        label: str | None = None,
        options: ConnectionOptions | None = None,
    ) -> None:
        """Connect on the first call.

        Args:
            target: "host:port", or several of servers that serve the same.
            model: its name there.
            deadline: seconds for a call that is not given its own; goes before that of `options`.
            version: the version that is meant; None is the latest.
            label: the label of the version that is meant, such as "canary".
            options: how to connect and how long to try.
        """
        self.options = (ConnectionOptions() if options is None else options).with_deadline(deadline)
        self.served = Served(model=model, version=version, label=label)
        self.targets = Targets([target] if isinstance(target, str) else list(target), self.options.channels)
        self.hedges = Hedges(self.options.hedging)

    @property
    def target(self) -> str:
        """The addresses, for texts."""
        return ", ".join(target.address for target in self.targets.all)

    @property
    def model(self) -> str:
        return self.served.model

    @property
    def deadline(self) -> float:
        """Seconds for a call that is not given its own."""
        return self.options.deadline

    def new_channels(self, library: Any) -> tuple[Any, ...]:
        """One for each lane; `library` is `grpc` or `grpc.aio`."""
        tls, arguments = self.options.tls, self.options.channel_arguments
        if tls is None:
            return tuple(library.insecure_channel(lane.target.address, arguments) for lane in self.targets.lanes)
        credentials = tls.credentials()
        return tuple(library.secure_channel(lane.target.address, credentials, arguments) for lane in self.targets.lanes)

    def call(
        self,
        method: str,
        request: bytes,
        deadline: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        target: str | None = None,
    ) -> Call:
        """A call with this connection's deadline and metadata. Raises `RequestError` for a deadline of 0 or less."""
        seconds = self.deadline if deadline is None else deadline
        if not seconds > 0:
            raise RequestError(f"`deadline` is {seconds} seconds, expected more than 0.")
        return Call(method, request, seconds, (*self.options.metadata, *metadata), target)

    def asking_predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Iterable[str] = (),
        *,
        version: int | None = None,
        deadline: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        target: str | None = None,
    ) -> Conversation[Answer]:
        request = messages.predict_request(self.served, signature, inputs, outputs, version)
        (reply,) = yield [self.call(messages.PREDICT, request, deadline, metadata, target)]
        return messages.predict_answer(reply.raw, reply.target)

    def asking_metadata(self, deadline: float | None = None) -> Conversation[dict[str, Signature]]:
        (reply,) = yield [self.call(messages.GET_METADATA, messages.metadata_request(self.served), deadline)]
        return messages.metadata_answer(reply.raw)

    def asking_status(
        self, deadline: float | None = None, target: str | None = None
    ) -> Conversation[list[VersionStatus]]:
        request = messages.status_request(self.served)
        (reply,) = yield [self.call(messages.GET_STATUS, request, deadline, target=target)]
        return messages.status_answer(reply.raw)

    def asking_available(self, address: str, until: float, timeout: float) -> Conversation[bool]:
        """Whether a target has an AVAILABLE version; after `until` (`time.monotonic`) a No is a `ServingError`."""
        try:
            states = yield from self.asking_status(target=address)
            if any(one.state == "AVAILABLE" for one in states):
                return True
            last = ", ".join(f"version {one.version} {one.state} {one.message}".strip() for one in states)
        except ServingError as error:
            last = str(error)
        if time.monotonic() > until:
            raise ServingError(
                f"Model {self.model!r} at {address} was not available after {timeout:g} s: {last or 'no version yet'}"
            )
        return False
