"""The hook of every training task: one question to the chief between two steps."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.questions import GO, STOP
from ctrkit.training.cluster.synchronous import Synchronous
from ctrkit.training.estimator import TrainingGraph

_LEAVE_WITHIN = 5.0  # Seconds for a step to end by itself when the chief is of another generation.
_log = logging.getLogger(__name__)


class StaleError(Exception):
    """The chief went back to an older state, or does not know this task any more: join again."""


class WorkerLoop(tf.compat.v1.train.SessionRunHook):
    """Acknowledges each step's ticket and asks for leave to run the next.

    Args:
        client: asks the chief; it has joined, and belongs to this session.
        steps: of the whole run; a worker that sees this step stops by itself.
        explain_nan: from (ticket, loss, scores) to the error to raise.
        delay: seconds to sleep in each step, to play a slow machine in tests and benchmarks.
    """

    def __init__(
        self,
        client: DispatchClient,
        *,
        steps: int,
        explain_nan: Callable[[int, float, np.ndarray], Exception],
        delay: float = 0.0,
    ) -> None:
        self._client, self._steps = client, steps
        self._explain_nan, self._delay = explain_nan, delay
        self.trained = False  # Whether a step was done.
        self._began = 0.0
        self._closed = threading.Event()

    def use(self, graph: TrainingGraph) -> None:
        """Take the tensors to watch, while the graph is being built."""
        self._step_variable = tf.compat.v1.train.get_global_step()
        self._synchronous = Synchronous.of_graph()
        fetches = {"loss": graph.loss, "scores": graph.scores, "ticket": graph.features["ticket"]}
        if self._synchronous is None:
            fetches["step"] = self._step_variable.read_value()
        else:
            fetches |= {"step": self._synchronous.begun, "counted": self._synchronous.counted}
        self._fetches = tf.compat.v1.train.SessionRunArgs(fetches)

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        step = int(session.run(self._step_variable))
        if self.is_watched:
            threading.Thread(target=self.watch, args=(session,), name="ctrkit-watch", daemon=True).start()
        self._ask([], {}, step)  # An Estimator cannot be stopped before its first step.
        self._began = time.perf_counter()

    def before_run(self, run_context: Any) -> tf.compat.v1.train.SessionRunArgs:
        return self._fetches

    def after_run(self, run_context: Any, run_values: Any) -> None:
        found = run_values.results
        if self._delay:
            time.sleep(self._delay)
        loss, scores, ticket, step = float(found["loss"]), found["scores"], int(found["ticket"]), int(found["step"])
        if not math.isfinite(loss):
            error = self._explain_nan(ticket, loss, scores)
            self._client.fail(str(error))  # Before the permit is given back: no checkpoint was written since.
            raise error
        dropped = self._synchronous is not None and not found["counted"]
        self.trained = True
        now = time.perf_counter()
        stats = {"loss": loss, "samples": len(scores), "seconds": now - self._began}
        self.stepped(step, loss)
        goes_on = self._ask([(ticket, dropped)], stats, step)
        self.acknowledged(run_context.session, step)
        if not goes_on or self.is_over(step):
            run_context.request_stop()
        self._began = time.perf_counter()

    def close(self) -> None:
        """The session is over, whatever the reason."""
        self._closed.set()

    @property
    def is_watched(self) -> bool:
        """Whether `watch` runs beside the steps; those of asynchronous training end by themselves."""
        return self._synchronous is not None

    def watch(self, session: tf.compat.v1.Session) -> None:
        """Beside the steps: leave a step that a chief of before has begun, as its answer never comes."""
        with contextlib.suppress(TrainingError):  # No chief for so long: the step is not answered either.
            self._client.wait_end(generation=self._client.generation)
        if not self._closed.wait(_LEAVE_WITHIN):
            _log.warning("The chief is another, or gone; the step that waits for its answer is left.")
            with contextlib.suppress(tf.errors.OpError, RuntimeError):
                session.close()

    def stepped(self, step: int, loss: float) -> None:
        """A step is done and not yet acknowledged."""

    def acknowledged(self, session: tf.compat.v1.Session, step: int) -> None:
        """The chief knows of the step, and the next one has not begun."""

    def is_over(self, step: int) -> bool:
        """Whether to stop, whatever the chief says."""
        return self._synchronous is not None and step >= self._steps

    def _ask(self, acknowledged: list[tuple[int, bool]], stats: dict[str, Any], step: int) -> bool:
        """Whether to run another step. Raises `StaleError`."""
        answer = self._client.step(acknowledged, stats, step=step)
        if answer not in (GO, STOP):
            raise StaleError(answer)
        return answer == GO
