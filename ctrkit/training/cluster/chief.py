"""The chief: plans, trains along, saves, and brings the cluster back when a task was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import tensorflow as tf

from ctrkit.atomic import write_json
from ctrkit.errors import ConfigError, CtrkitError, TrainingError
from ctrkit.progress import progress
from ctrkit.reasons import reason_of
from ctrkit.training.checkpoint import CHECKPOINTS, checkpoints
from ctrkit.training.cluster.agreement import told
from ctrkit.training.cluster.chief_loop import ChiefLoop
from ctrkit.training.cluster.conclusion import conclude
from ctrkit.training.cluster.devices import placed
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from ctrkit.training.cluster.ending import FAILED, TRAINED
from ctrkit.training.cluster.evaluator import newest_of
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.judgement import Evaluation, Hearing
from ctrkit.training.cluster.lost_tasks import TASK_LOST, wait_until_up
from ctrkit.training.cluster.session import TrainingSession, start_server
from ctrkit.training.cluster.share import Share
from ctrkit.training.cluster.take_up import ledger_of
from ctrkit.training.cluster.task import EVALUATOR, PS, WORKER
from ctrkit.training.cluster.worker_loop import StaleError
from ctrkit.training.fit import TrainingResult, failure_noted, plan_of
from ctrkit.training.interrupt import StopRequest, stop_requests
from ctrkit.training.loop import Observer
from ctrkit.training.resume import check_same_run, facts_of, resume
from ctrkit.training.run_file import FINISHED, RunFile, locked
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter
from ctrkit.training.warm_start import begin_from
from ctrkit.training.weights import described

PLACEMENT = "placement.json"  # In the folder `cluster` of a run.
FRUITLESS = 5  # Losses of other tasks in a row, without a checkpoint between them, until the chief gives up.
_LEAVE_WITHIN = 15.0  # Seconds for the others to hear of the end.
_log = logging.getLogger(__name__)


class Chief:
    """One process of the chief; `train` is what it does. `observer` is told of losses and evaluations."""

    def __init__(self, job: Job, observer: Observer | None = None) -> None:
        self._job, self._observer = job, observer
        plan = plan_of(job.records, job.options)
        self._share = Share.of(job.records, job.options, job.cluster, job.task.workers, plan.steps)
        self._plan = replace(plan, steps=self._share.steps)
        self._placement = job.placement(self._share)
        self._state = RunState(job.stopping())
        self._dispatch: Dispatch | None = None

    def train(self) -> TrainingResult:
        """Train to the end, over losses of other tasks. Raises as `train_on_cluster`."""
        job, state = self._job, self._state
        with locked(job.run_dir), ExitStack() as stack:
            file = RunFile(job.run_dir)
            facts = facts_of(job.fingerprint, job.records, job.options)
            check_same_run(file.read(), facts, job.run_dir)
            self._hearing = Hearing(job.run_dir, job.stopping, self._pass_on)
            stack.enter_context(failure_noted(file, state))
            resumed_from = state.step if self._restore() else None
            if resumed_from is not None and (state.step >= self._plan.steps or self._hearing.says_over()):
                self._tell_the_end()
            else:
                # The session's count of steps is the run's here: an optimizer that is taken over begins to count anew.
                if resumed_from is None and begin_from(
                    job.model, job.run_dir, state, job.prepared.index, job.records, job.options, keep_count=False
                ):
                    self._restore()
                info = told(job, self._share, self._placement)
                file.begin(**facts, cluster=info)
                self._lead(info)
            result = conclude(job, self._plan, state, self._hearing, resumed_from)
            summary = {name: value for name, value in vars(result).items() if name != "history"}
            file.update(status=FINISHED, reason=None, step=result.steps, result=summary)
        return result

    def _tell_the_end(self) -> None:
        """For those that still wait for a chief which was lost after its last checkpoint."""
        with serve_dispatch(self._job.run_dir, self._ledger(), fingerprint=self._job.fingerprint) as dispatch:
            dispatch.finish(TRAINED)

    # --- while ------------------------------------------------------------------------------------------------------

    def _lead(self, info: dict[str, Any]) -> None:
        """Open the cluster's dispatch and train until the end."""
        job, task, cluster = self._job, self._job.task, self._job.cluster
        server = start_server(task)
        with ExitStack() as stack:
            self._stop: StopRequest = stack.enter_context(stop_requests())
            dispatch = stack.enter_context(
                serve_dispatch(
                    job.run_dir,
                    self._ledger(),
                    fingerprint=job.fingerprint,
                    info=info,
                    host=task.address.rpartition(":")[0].strip("[]"),
                    options=DispatchOptions(lost_after=cluster.lost_after, doubts=not job.is_synchronous),
                )
            )
            self._dispatch = dispatch
            client = stack.enter_context(DispatchClient.local(dispatch))
            client.join()
            dispatch.note(mode=cluster.mode, steps=self._plan.steps, loads=info["loads"])
            beats = stack.enter_context(Heartbeats(client))
            stack.enter_context(self._ended_for_all(dispatch))
            if job.is_synchronous:  # Updates wait for all of them; asynchronous ones go on without.
                workers = [(WORKER, number) for number in range(task.workers - 1)]
                dispatch.wait_for_roles(workers, cluster.come_up_within)
            self._train_over_losses(dispatch, client, beats)
            if self._stop and self._state.step < self._plan.steps:
                raise KeyboardInterrupt(
                    f"{self._stop.signal_name} after step {self._state.step:,}; the checkpoint of that step is "
                    "written. Run the same command again to go on."
                )
            self._await_evaluation(dispatch, beats)
        del server  # It cannot be stopped; it ends with the process.

    @contextmanager
    def _ended_for_all(self, dispatch: Dispatch) -> Iterator[None]:
        """Tell the others when the chief fails for good, and give them time to hear of any end.

        Nothing is said of an accident: a chief that is started again finds the others waiting.
        """
        try:
            yield
        except (CtrkitError, KeyboardInterrupt) as error:
            dispatch.finish(FAILED, f"{type(error).__name__}: {error}")
            raise
        finally:
            if dispatch.end is not None:
                dispatch.wait_until_left(_LEAVE_WITHIN, roles=(WORKER,))

    def _train_over_losses(self, dispatch: Dispatch, client: DispatchClient, beats: Heartbeats) -> None:
        fruitless = 0
        while True:
            began = self._state.step
            beats.say("waiting")
            wait_until_up(self._job.task.cluster[PS], within=self._job.cluster.come_up_within)
            beats.say("training")
            try:
                self._train_once(dispatch, client)
                return
            except (*TASK_LOST, StaleError) as error:
                dispatch.set_not_ready()
                self._check_hope(dispatch)
                fruitless = fruitless + 1 if self._saved() <= began else 0
                if fruitless >= FRUITLESS:
                    raise TrainingError(
                        f"Another task was lost {fruitless} times in a row without a checkpoint between: "
                        f"{reason_of(error)}. Look at the parameter servers' logs; and save more often "
                        "(training.checkpoint_every)."
                    ) from error
                name = type(error).__name__
                _log.warning("A task was lost (%s: %s); going back to the last checkpoint.", name, reason_of(error))
                time.sleep(min(5.0, 0.5 * 2**fruitless))
            self._restore()
            dispatch.restart_generation(self._ledger().to_dict(), self._state.step, ready=False)
            client.join()

    def _train_once(self, dispatch: Dispatch, client: DispatchClient) -> None:
        job, share, placement = self._job, self._share, self._placement
        session = TrainingSession(job, placement=placement, share=share)
        with ExitStack() as stack:
            loop = ChiefLoop(
                dispatch,
                self._plan,
                self._state,
                client=client,
                writer=CheckpointWriter(
                    job.run_dir,
                    keep=job.options.keep_checkpoints,
                    fingerprint=job.fingerprint,
                    weights=described(job.model.weights),
                    parts=placement.parts,
                    passed_on=TASK_LOST,  # A parameter server saves its own part, and may be lost in the middle of it.
                ),
                stop=self._stop,
                is_judged_over=self._hearing.says_over,
                is_hopeless=lambda: bool(self._gone_for_good(dispatch)),
                hold_within=job.cluster.hold_within,
                start_progress=lambda: stack.enter_context(
                    progress("training", total=self._plan.steps - self._state.step, unit="steps")
                ),
                observer=self._observer,
                on_graph=self._write_placement,
                ticket_rows=share.batch_size,
                explain_nan=session.explain_nan,
            )
            stack.callback(loop.close)
            session.run(loop, client)

    def _gone_for_good(self, dispatch: Dispatch) -> list[str]:
        """Lost workers that did not come back in time, where updates wait for more than are left."""
        gone = dispatch.lost_longer_than(self._job.cluster.come_up_within)
        return gone if self._job.task.workers - len(gone) < self._share.aggregated else []

    def _check_hope(self, dispatch: Dispatch) -> None:
        """Raise where another session would be of no use."""
        if dispatch.failure is not None:
            raise TrainingError(dispatch.failure)
        if self._stop:
            raise KeyboardInterrupt(
                f"{self._stop.signal_name} within a step that did not end; the last checkpoint is of step "
                f"{max(0, self._saved()):,}. Run the same command again to go on."
            )
        gone = self._gone_for_good(dispatch)
        if gone:
            raise TrainingError(
                f"{', '.join(gone)} did not come back within {self._job.cluster.come_up_within:g} s, and an update "
                f"needs the gradients of {self._share.aggregated} workers. Start them again; or take more "
                "cluster.backups."
            )

    def _await_evaluation(self, dispatch: Dispatch, beats: Heartbeats) -> None:
        """Wait for the evaluator's word on the last checkpoint, if there is one."""
        beats.say("waiting for the evaluator")
        until = time.monotonic() + self._job.cluster.evaluate_within
        last = newest_of(self._job.run_dir)
        while last is not None and time.monotonic() < until and not self._hearing.listen().knows(last[1]):
            roles = dispatch.status()["roles"]
            states = [row["state"] for name, row in roles.items() if name.startswith(EVALUATOR)]
            if all(state in ("lost", "finished") for state in states):
                break
            time.sleep(0.2)

    def _pass_on(self, evaluation: Evaluation) -> None:
        report = {f"validation_{name}": value for name, value in evaluation.metrics.items()}
        if self._observer is not None and report:
            self._observer.on_metrics(evaluation.step, report)
        if self._dispatch is not None:
            self._dispatch.note(evaluation={"step": evaluation.step, **evaluation.metrics})

    # --- state ------------------------------------------------------------------------------------------------------

    def _restore(self) -> bool:
        """Bring the state to the newest whole checkpoint; False for a new run."""
        for name, value in vars(RunState(self._job.stopping())).items():
            setattr(self._state, name, value)
        job, state = self._job, self._state
        found = resume(job.model, job.run_dir, state, job.fingerprint, self._placement.parts)
        if state.before:
            raise ConfigError(
                f"Run {job.run_dir} began on one machine with another run's optimizer and goes on with its count of "
                "updates, which a cluster cannot. Go on with `ctrkit train`, or train a new run (run=new)."
            )
        return found

    def _saved(self) -> int:
        """The step of the newest checkpoint."""
        newest = next(iter(checkpoints(self._job.run_dir / CHECKPOINTS)), None)
        return -1 if newest is None else newest.step

    def _ledger(self) -> Ledger:
        """Of the state as it is now."""
        return ledger_of(self._state, self._share, fillers=self._job.is_synchronous)

    def _write_placement(self, graph: tf.Graph) -> None:
        """Note the plan, and what the graph really has where."""
        actual = placed(graph)
        folder = self._job.run_dir / "cluster"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PLACEMENT, {"plan": self._placement.to_dict(), "actual": actual})
