"""The chief's hook: a worker's, and the checkpoints of the whole cluster."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ctrkit.errors import TrainingError
from ctrkit.progress import Progress
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.ending import STOPPED, TRAINED
from ctrkit.training.cluster.worker_loop import WorkerLoop
from ctrkit.training.estimator import TrainingGraph
from ctrkit.training.interrupt import StopRequest
from ctrkit.training.loop import Observer, Plan
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter

_LOOK_EVERY = 0.5  # Seconds.
_END_WITHIN = 10.0  # Seconds for a step to end when the training shall.
_log = logging.getLogger(__name__)


class ChiefLoop(WorkerLoop):
    """Trains as any worker, saves while no update is in flight, and ends the training for all.

    Args:
        dispatch: the cluster's.
        plan: when to do what.
        state: of the run; `step` is the global step.
        writer: of checkpoints.
        stop: whether someone asked the run to stop.
        is_judged_over: whether the evaluations say that it is time to stop.
        is_hopeless: whether the step waits for workers that do not come back.
        hold_within: seconds that a checkpoint waits for updates in flight.
        start_progress: begins to show the progress of the rows.
        observer: told of losses.
        on_graph: told of the graph before the session starts.
        ticket_rows: rows of a ticket.
        more: arguments of `WorkerLoop`.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        plan: Plan,
        state: RunState,
        *,
        writer: CheckpointWriter,
        stop: StopRequest,
        is_judged_over: Callable[[], bool],
        is_hopeless: Callable[[], bool],
        hold_within: float,
        start_progress: Callable[[], Progress],
        observer: Observer | None,
        on_graph: Callable[[tf.Graph], None],
        ticket_rows: int,
        **more: Any,
    ) -> None:
        super().__init__(steps=plan.steps, **more)
        self._dispatch, self._plan, self._state, self._writer = dispatch, plan, state, writer
        self._stop, self._is_judged_over, self._is_hopeless = stop, is_judged_over, is_hopeless
        self._hold_within = hold_within
        self._start_progress, self._observer, self._on_graph = start_progress, observer, on_graph
        self._ticket_rows = ticket_rows
        self._last: float | None = None  # When the last step ended; None: the next step's time says nothing.
        self._timed_step = 0

    def use(self, graph: TrainingGraph) -> None:
        super().use(graph)
        self._writer.use(graph.saver)
        self._on_graph(graph.loss.graph)

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        state = self._state
        state.step = int(session.run(self._step_variable))
        self._next_save = self._after(state.step)
        if self._synchronous is not None:
            self._dispatch.set_gate(self._next_save)
        self._dispatch.note(step=state.step, steps=self._plan.steps)
        self._dispatch.set_ready(state.step)
        self._progress = self._start_progress()
        super().after_create_session(session, coord)

    def stepped(self, step: int, loss: float) -> None:
        state = self._state
        before, state.step = state.step, step
        state.loss_sum += loss
        state.loss_steps += 1
        self._dispatch.note(step=step)
        self._time(step)
        if step // self._plan.log_every > before // self._plan.log_every:
            self._report(step)
        self._progress.advance(max(0, step - before), f"step {step:,}, loss {loss:.4f}")

    def _report(self, step: int) -> None:
        loss = self._state.report_loss()
        if self._observer is not None:
            self._observer.on_metrics(step, {**loss, **self._rates()})

    def acknowledged(self, session: tf.compat.v1.Session, step: int) -> None:
        if self._next_save <= step < self._plan.steps and self._dispatch.end is None:
            self._save(session)

    def is_over(self, step: int) -> bool:
        return bool(self._stop) or super().is_over(step) or self._is_judged_over()

    def end(self, session: tf.compat.v1.Session) -> None:
        """All steps are done, or someone stops the run: save once more, and let nobody train on."""
        if self._dispatch.failure is not None:
            raise TrainingError(self._dispatch.failure)
        with self._dispatch.held(self._hold_within) as quiet:
            if self._state.loss_steps:
                self._report(self._state.step)
            self._write(session, quiet=quiet)
            self._dispatch.finish(STOPPED if self._stop else TRAINED, self._stop.signal_name or "")

    def _save(self, session: tf.compat.v1.Session) -> None:
        with self._dispatch.held(self._hold_within) as quiet:
            if not quiet and self._synchronous is None:
                _log.warning(
                    "No checkpoint at step %d: %s did not end a step within %g s.",
                    self._state.step,
                    ", ".join(self._dispatch.in_flight()) or "a worker",
                    self._hold_within,
                )
                self._next_save = min(self._plan.steps, self._state.step + 1)
                return
            self._write(session, quiet=quiet)
            self._next_save = self._after(self._state.step)
            if self._synchronous is not None:
                self._dispatch.set_gate(self._next_save)
        self._last = None

    @property
    def is_watched(self) -> bool:
        return True

    def watch(self, session: tf.compat.v1.Session) -> None:
        """Beside the steps: settle doubts, and close a session whose step would wait for ever."""
        since: float | None = None
        with contextlib.suppress(tf.errors.OpError, RuntimeError):  # The session was closed.
            while not self._closed.wait(_LOOK_EVERY):
                self._settle(session)
                if not (self._stop or self._dispatch.failure or self._is_hopeless()):
                    since = None
                elif since is None:
                    since = time.monotonic()
                elif time.monotonic() - since > _END_WITHIN:
                    _log.warning("The step did not end within %g s; its session is closed.", _END_WITHIN)
                    session.close()
                    return

    def _settle(self, session: tf.compat.v1.Session) -> None:
        """Find out what became of the batches that lost workers had in flight: the global step tells."""
        if self._dispatch.end is None and self._dispatch.doubtful:
            with self._dispatch.held(self._hold_within) as quiet:
                step = int(session.run(self._step_variable))
                if quiet:
                    self._dispatch.settle(step)

    def _write(self, session: tf.compat.v1.Session, *, quiet: bool) -> None:
        if self._dispatch.failure is not None:
            raise TrainingError(self._dispatch.failure)
        state = self._state
        state.step = int(session.run(self._step_variable))
        if quiet:
            self._dispatch.settle(state.step)
        state.ledger = {**self._dispatch.ledger_state(), "batch_size": self._ticket_rows}
        state.count_time()
        self._writer.save(session, state, is_best=False)
        self._dispatch.note(step=state.step, checkpoint_step=state.step)

    def _after(self, step: int) -> int:
        every = self._plan.checkpoint_every or self._plan.evaluate_every
        return min(self._plan.steps, (step // every + 1) * every)

    def _time(self, step: int) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._state.timed_seconds += now - self._last
            self._state.timed_rows += (step - self._timed_step) * self._plan.batch_size
        self._last, self._timed_step = now, step

    def _rates(self) -> dict[str, float]:
        status = self._dispatch.status()
        rates = {"samples_per_second": status["cluster"]["samples_per_second"]}
        for name, row in status["roles"].items():
            if row["steps"]:
                rates[f"{name}_samples_per_second"] = row["samples_per_second"]
                rates[f"{name}_dropped"] = row["dropped"]
        return rates
