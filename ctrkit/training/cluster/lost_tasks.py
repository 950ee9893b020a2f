"""What a task does when another one is gone: leave its session at once and come back to a new one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import tensorflow as tf
from tensorflow.python.training import monitored_session

from ctrkit.errors import TrainingError

# What TensorFlow raises where a task went away, or came back without its variables.
TASK_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.CancelledError,
    tf.errors.UnknownError,
    tf.errors.InternalError,
)
_LOOK_EVERY = 0.2  # Seconds.


@contextmanager
def lost_tasks_raise() -> Iterator[None]:
    """Let errors of `TASK_LOST` leave `Estimator.train`.

    TensorFlow would open a new session by itself and then ask every 30 seconds whether the variables are back; we know
    from the chief when they are.
    """
    with mock.patch.object(monitored_session, "_PREEMPTION_ERRORS", ()):
        try:
            yield
        except RuntimeError as error:
            if "closed Session" not in str(error):
                raise
            # Another thread closed the session while this one was between two runs of it.
            raise tf.errors.CancelledError(None, None, "The session was closed.") from error


def wait_until_up(addresses: Sequence[str], *, within: float, told: Callable[[], None] = lambda: None) -> None:
    """Return when all parameter servers accept connections: a session that misses one would wait without a word.

    Raises `TrainingError` naming the first that does not come up in so many seconds.
    """
    until = time.monotonic() + within
    for number, address in enumerate(addresses):
        while not _accepts(address):
            if time.monotonic() > until:
                raise TrainingError(
                    f"ps-{number} ({address}) did not come up within {within:g} s. Look at the last lines of its log; "
                    "where starting takes long, type a larger cluster.come_up_within."
                )
            told()
            time.sleep(_LOOK_EVERY)


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except OSError:
        return False
