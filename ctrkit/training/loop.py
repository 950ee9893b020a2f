"""The hook that turns an Estimator's steps into a run: reports, evaluations, checkpoints, reasons to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ctrkit.errors import TrainingError
from ctrkit.progress import Progress
from ctrkit.records import Records
from ctrkit.training.estimator import TrainingGraph
from ctrkit.training.interrupt import StopRequest
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter
from ctrkit.training.validation import SessionEvaluator


class Observer(Protocol):
    """Whoever wants to follow a run, e.g. a tracking run."""

    def on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Take in values as of `step`: `loss` and `samples_per_second`, or `validation_*`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """When to do what, in steps."""

    steps: int  # Of the whole run.
    batch_size: int  # Rows of a step.
    evaluate_every: int
    evaluation_batch_size: int  # Rows.
    checkpoint_every: int | None  # None: with each evaluation.
    log_every: int


class TrainingLoop(tf.compat.v1.train.SessionRunHook):
    """Counts the steps of a session and acts on the numbers that they give; costs microseconds a step."""

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        *,
        writer: CheckpointWriter,
        validation: Records | None,
        stop: StopRequest,
        start_progress: Callable[[], Progress],
        observer: Observer | None,
        explain_nan: Callable[[int, float, np.ndarray], Exception],
    ) -> None:
        self._plan, self._state = plan, state
        self._writer, self._validation, self._observer = writer, validation, observer
        self._stop, self._start_progress, self._explain_nan = stop, start_progress, explain_nan
        self._evaluator: SessionEvaluator | None = None
        self._last: float | None = None  # When the last step ended; None: the next step's time says nothing.

    def use(self, graph: TrainingGraph) -> None:
        """Take the tensors to watch, while the graph is being built."""
        self._fetches = tf.compat.v1.train.SessionRunArgs([graph.loss, graph.scores])
        self._step_variable = tf.compat.v1.train.get_global_step()
        self._writer.use(graph.saver)
        if self._validation is not None and self._validation.rows:
            self._evaluator = SessionEvaluator(self._validation, graph.score, self._plan.evaluation_batch_size)

    def after_create_session(self, session: tf.compat.v1.Session, coord: Any) -> None:
        restored = int(session.run(self._step_variable)) - self._state.before
        if restored != self._state.step:
            raise TrainingError(f"The session starts at step {restored:,}, expected {self._state.step:,}. Train again.")
        self._progress = self._start_progress()  # Only now, so that its rate and the time left are of steps.

    def before_run(self, run_context: Any) -> tf.compat.v1.train.SessionRunArgs:
        return self._fetches

    def after_run(self, run_context: Any, run_values: Any) -> None:
        state, plan = self._state, self._plan
        loss, scores = run_values.results
        loss = float(loss)
        if not math.isfinite(loss):
            raise self._explain_nan(state.step + 1, loss, scores)
        state.add_step(loss, len(scores))
        self._time(len(scores))
        self._progress.advance(len(scores), f"step {state.step:,}, loss {loss:.4f}{self._best()}")
        if state.step % plan.log_every == 0:
            self._report({**state.report_loss(), "samples_per_second": state.samples_per_second})
        is_last = state.step >= plan.steps
        improved = self._evaluate(run_context.session, is_last)
        if improved or is_last or self._stop or state.stopping.is_over or self._is_checkpoint_due():
            self._save(run_context.session, improved)
        if is_last or self._stop or state.stopping.is_over:
            run_context.request_stop()

    def _time(self, rows: int) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._state.timed_rows += rows
            self._state.timed_seconds += now - self._last
        self._last = now

    def _best(self) -> str:
        stopping = self._state.stopping
        if stopping.best_step is None or stopping.metric is None:
            return ""
        return f", best {stopping.metric} {stopping.best_metrics.get(stopping.metric, math.nan):.4f}"

    def _report(self, metrics: dict[str, float]) -> None:
        if self._observer is not None:
            self._observer.on_metrics(self._state.step, metrics)

    def _is_checkpoint_due(self) -> bool:
        every = self._plan.checkpoint_every or self._plan.evaluate_every
        return self._state.step % every == 0

    def _evaluate(self, session: tf.compat.v1.Session, is_last: bool) -> bool:
        """Evaluate where it is due; returns whether this step is the best so far."""
        state = self._state
        if self._evaluator is None:
            return is_last and state.stopping.observe(state.step, {})
        if not (is_last or state.step % self._plan.evaluate_every == 0):
            return False
        metrics = self._evaluator.evaluate(session).metrics
        self._report(state.report_evaluation(metrics))
        improved = state.stopping.observe(state.step, metrics)
        self._pause()
        return improved

    def _save(self, session: tf.compat.v1.Session, improved: bool) -> None:
        self._state.count_time()
        self._writer.save(session, self._state, is_best=improved)
        self._pause()

    def _pause(self) -> None:
        """Keep what was not stepping out of the steps' time."""
        self._last = time.perf_counter()
