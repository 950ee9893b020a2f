"""Carry a run's events to its store on a thread of their own, so that training never waits for the store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from ctrkit.tracking.apart import ApartStore
from ctrkit.tracking.events import Buffer, Event, RunHeader, coalesce
from ctrkit.tracking.options import TrackingOptions
from ctrkit.tracking.store import Refused, Store, Unreachable

LOG = logging.getLogger("ctrkit.tracking")


class Delivery:
    """The queue between one run and its store.

    Events are delivered in order, every `flush_seconds` in one go. When the store stops answering, one warning is
    logged, events go to the buffer beside the run, and every `retry_seconds` the store is tried again: once it answers,
    the buffer is delivered first. Nothing raised here reaches the training.
    """

    def __init__(self, header: RunHeader, store: Store | ApartStore, buffer: Buffer, options: TrackingOptions) -> None:
        self.header = header
        self._store, self.buffer, self._options = store, buffer, options
        self._waiting: list[Event] = []  # Not yet taken by the store; the first of them may be on its way.
        self._results: dict[int, Future[Any]] = {}  # By the identity of an event that someone waits for.
        self._changed = threading.Condition()
        self._hurry = self._ending = self._given_up = False
        self._down_since: float | None = None
        self._warned = self._full = False
        self._thread = threading.Thread(target=self._work, name="ctrkit-tracking", daemon=True)

    def start(self) -> None:
        """Open the run in the store, waiting for it, and start the thread; with no store the buffer takes its place."""
        try:
            self._open()
        except (Unreachable, Refused) as error:
            self._lose_store(error)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue one event; returns at once."""
        with self._changed:
            self._waiting.append(event)

    def ask(self, event: Event) -> Future[Any]:
        """Queue one event, deliver without delay; the result is what the store returned, None when it is buffered."""
        answer: Future[Any] = Future()
        with self._changed:
            self._results[id(event)] = answer
            self._waiting.append(event)
            self._hurry = True
            self._changed.notify()
        return answer

    def close(self) -> bool:
        """Deliver what waits, for at most `finish_seconds`; what is left goes to the buffer.

        Returns whether the store has everything.
        """
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(self._options.finish_seconds)
        with self._changed:
            if self._thread.is_alive():  # The store neither takes nor refuses.
                self._given_up = True
                self._lose_store(Unreachable(f"The tracking store took longer than {self._options.finish_seconds:g} s"))
                self._keep(self._waiting)
        if not self.buffer.exists():
            self.buffer.tidy()
        return not self.buffer.exists()

    # --- on the thread --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._deliver_until_the_end()
        finally:
            with self._changed:
                for answer in self._results.values():  # Whatever happened here, nobody waits for ever.
                    answer.set_result(None)
                self._results.clear()

    def _deliver_until_the_end(self) -> None:
        ending = False
        while not ending:
            with self._changed:
                if not (self._hurry or self._ending):
                    self._changed.wait(self._options.flush_seconds)
                ending, self._hurry = self._ending, False
                self._waiting = self._joined(self._waiting)
                count = len(self._waiting)
            if self._down_since is not None:
                self._try_again(last=ending)
            for _ in range(count):
                event = self._waiting[0]  # Only this thread removes, so a hung request loses nothing.
                taken, result = self._deliver(event)
                with self._changed:
                    if self._given_up:  # `close` has kept this event and all behind it.
                        return
                    if not taken:
                        self._keep([event])
                    self._waiting.pop(0)
                    answer = self._results.pop(id(event), None)
                if answer is not None:
                    answer.set_result(result)

    def _joined(self, events: list[Event]) -> list[Event]:
        return coalesce(events) if len(events) > 1 else events

    def _deliver(self, event: Event) -> tuple[bool, Any]:
        """Whether the store took or refused the event, rather than being lost, and what it returned."""
        if self._down_since is None:
            try:
                assert self.header.run_id is not None
                result = self._store.deliver(self.header.run_id, event, self.buffer)
                self._delivered([event])
                return True, result
            except Refused as error:
                LOG.warning("%s Training goes on without it.", error)
                return True, None
            except Exception as error:  # Whatever it is: the training matters more.
                self._lose_store(error)
        return False, None

    def _delivered(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind == "file":
                self.buffer.discard(event.content["path"])

    def _open(self) -> None:
        """Open the run in the store, and deliver what this process or one before it could not."""
        self.header = self._store.open_run(self.header)
        if self.buffer.exists():
            self.header = deliver_buffer(self.buffer, self._store, header=self.header)

    def _try_again(self, *, last: bool) -> None:
        """Open the run anew where the store answers again, and deliver the buffer."""
        assert self._down_since is not None
        if not last and time.monotonic() - self._down_since < self._options.retry_seconds:
            return
        self._down_since = time.monotonic()
        try:
            self._store.disconnect()
            self._open()
        except Exception:
            return  # Said once already.
        self._down_since = None
        LOG.warning("Tracking store %s answers again; run %s is complete there.", self._store.shown, self.header.run_id)

    def _lose_store(self, error: BaseException) -> None:
        self._down_since = time.monotonic()
        if not self._warned:
            self._warned = True
            LOG.warning(
                "%s. Training goes on; the run is kept in %s. To send it later: ctrkit upload %s",
                str(error).rstrip("."),
                self.buffer.path,
                self.buffer.folder,
            )

    def _keep(self, events: Iterable[Event]) -> None:
        try:
            self.buffer.append(self.header, events)
        except OSError as error:
            if self._full:
                return
            self._full = True
            LOG.warning("The run's tracking data could not be kept in %s either: %s.", self.buffer.path, error)


def deliver_buffer(buffer: Buffer, store: Store | ApartStore, *, header: RunHeader) -> RunHeader:
    """Deliver all of `buffer` to the open run of `header` and clear it; an end in it is left out, the run being alive.

    Killed in the middle, it can be called again: the run's id is written down before anything is delivered, and
    delivering twice changes nothing. Raises `Unreachable`, with the buffer kept; what the store refuses is skipped
    with a warning.
    """
    written, events = buffer.read()
    if header != written:
        buffer.remember_run(header)
    assert header.run_id is not None
    for event in coalesce(events):
        try:
            if event.kind != "end":
                store.deliver(header.run_id, event, buffer)
        except Refused as error:
            LOG.warning("%s It is left out.", error)
    buffer.clear()
    for event in events:
        if event.kind == "file":
            buffer.discard(event.content["path"])
    return header
