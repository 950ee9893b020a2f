"""One thread that does a task again and again, and what others tell it to do in between."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from ctrkit.errors import ServingError

LOG = logging.getLogger(__name__)
Command = Callable[[], None]


class Worker:
    """Runs `routine` every `every` seconds (None: never) and each command as it comes, one at a time."""

    def __init__(self, routine: Command, every: float | None) -> None:
        self._routine, self._every = routine, every
        self._commands: queue.SimpleQueue[tuple[Command, Future[None]]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_ending(self) -> bool:
        """Whether `end` was called: a long task should stop where it can."""
        return self._ending.is_set()

    def begin(self) -> None:
        """Start the thread. Raises `ServingError` when it was started before."""
        if self._thread is not None:
            raise ServingError("These models were started already.")
        self._thread = threading.Thread(target=self._work, name="ctrkit-models", daemon=True)
        self._thread.start()

    def run(self, command: Command) -> None:
        """Run something in the thread and wait for it; raises what it raises."""
        if self._thread is None or self._ending.is_set():
            raise ServingError("These models are not being served: call `start()` first, and nothing after `close()`.")
        done: Future[None] = Future()
        self._commands.put((command, done))
        while not wait([done], timeout=1.0).done:
            if not self._thread.is_alive() and not done.done():  # It ended between the check and the put.
                raise ServingError("The models are being closed.")
        done.result()

    def end(self) -> None:
        """End the thread when what it does is done; whoever waits for a command that was not begun gets an error."""
        self._ending.set()
        if self._thread is not None and self._thread.is_alive():
            self._commands.put((lambda: None, Future()))  # Wakes it.
            self._thread.join()

    def _work(self) -> None:
        while not self._ending.is_set():
            command, done = self._routine, None
            with contextlib.suppress(queue.Empty):
                command, done = self._commands.get(timeout=self._every)
            try:
                command()
            except BaseException as error:
                if done is None:
                    LOG.exception("Looking for versions failed")
                else:
                    done.set_exception(error)
            else:
                if done is not None:
                    done.set_result(None)
        with contextlib.suppress(queue.Empty):
            while True:
                self._commands.get_nowait()[1].set_exception(ServingError("The models are being closed."))
