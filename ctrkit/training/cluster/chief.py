"""The chief: plans, trains along, saves, and brings the cluster back when a task was lost."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from ctrkit.atomic import write_json
from ctrkit.errors import CtrkitError, TrainingError
from ctrkit.progress import progress
from ctrkit.training.checkpoint import CHECKPOINTS, checkpoints
from ctrkit.training.cluster.chief_loop import ChiefLoop
from ctrkit.training.cluster.devices import placed
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.service import serve_dispatch
from ctrkit.training.cluster.ending import FAILED, TRAINED
from ctrkit.training.cluster.evaluator import evaluate_checkpoint, newest_of
from ctrkit.training.cluster.judgement import Evaluation, Hearing
from ctrkit.training.cluster.lost_tasks import TASK_LOST, wait_until_up
from ctrkit.training.cluster.options import SYNC, ClusterOptions
from ctrkit.training.cluster.placement.plan import Plan as Placement
from ctrkit.training.cluster.placement.planned import planned
from ctrkit.training.cluster.session import Share, TrainingSession, start_server
from ctrkit.training.cluster.task import EVALUATOR, PS, WORKER, Task
from ctrkit.training.cluster.worker_loop import StaleError
from ctrkit.training.fit import TrainingData, TrainingResult, failure_noted, plan_of, stopping_of, training_records
from ctrkit.training.interrupt import StopRequest, stop_requests
from ctrkit.training.loop import Observer, Plan
from ctrkit.training.options import TrainingOptions
from ctrkit.training.resume import check_same_run, facts_of, resume
from ctrkit.training.run_file import FINISHED, RunFile, locked
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter
from ctrkit.training.weights import described, load_weights

PLACEMENT = "placement.json"  # In the folder `cluster` of a run.
FRUITLESS = 5  # Losses of other tasks in a row, without a checkpoint between them, until the chief gives up.
_LEAVE_WITHIN = 15.0  # Seconds for the others to hear of the end.
_log = logging.getLogger(__name__)


class Chief:
    """One process of the chief; `train` is what it does.

    Args: those of `train_on_cluster`.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        prepared: TrainingData,
        run_dir: Path,
        *,
        options: TrainingOptions,
        cluster: ClusterOptions,
        task: Task,
        observer: Observer | None,
    ) -> None:
        self._model, self._prepared, self._run_dir = model, prepared, run_dir
        self._options, self._cluster, self._task, self._observer = options, cluster, task, observer
        self._dispatch: Dispatch | None = None
        self._records = training_records(model, prepared)
        plan = plan_of(self._records, options)
        self._share = Share.of(self._records, options, cluster, task.workers, plan.steps)
        self._plan: Plan = replace(plan, steps=self._share.steps)
        self.placement: Placement = planned(
            model,
            prepared.index,
            batch_size=self._share.batch_size,
            options=options,
            ps=task.ps,
            strategy=cluster.placement,
        )

    def train(self) -> TrainingResult:
        """Train to the end, over losses of other tasks. Raises as `train_on_cluster`."""
        run_dir, options, fingerprint = self._run_dir, self._options, self._prepared.fingerprint
        with locked(run_dir), ExitStack() as stack:
            file = RunFile(run_dir)
            facts = facts_of(fingerprint, self._records, options)
            check_same_run(file.read(), facts, run_dir)
            self._state = RunState(stopping_of(options, self._prepared))
            self._hearing = Hearing(run_dir, lambda: stopping_of(options, self._prepared), self._pass_on)
            stack.enter_context(failure_noted(file, self._state))
            resumed = self._restore()
            resumed_from = self._state.step if resumed else None
            if not (resumed and (self._state.step >= self._plan.steps or self._hearing.says_over())):
                if not resumed and options.warm_start is not None:
                    load_weights(self._model, options.warm_start, fingerprint=fingerprint)
                file.begin(**facts, cluster=self._facts())
                self._lead()
            else:
                self._tell_the_end()
            result = self._finish(resumed_from)
            summary = {name: value for name, value in vars(result).items() if name != "history"}
            file.update(status=FINISHED, reason=None, step=result.steps, result=summary)
        return result

    def _tell_the_end(self) -> None:
        """For those that still wait for a chief which was lost after its last checkpoint."""
        ledger = self._ledger()
        with serve_dispatch(self._run_dir, ledger, fingerprint=self._prepared.fingerprint) as dispatch:
            dispatch.finish(TRAINED)

    # --- while ------------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """Open the cluster's dispatch and train until the end."""
        server = start_server(self._task)
        with ExitStack() as stack:
            self._stop: StopRequest = stack.enter_context(stop_requests())
            dispatch = stack.enter_context(
                serve_dispatch(
                    self._run_dir,
                    self._ledger(),
                    fingerprint=self._prepared.fingerprint,
                    info=self._facts(),
                    host=self._task.address.rpartition(":")[0].strip("[]"),
                    options=DispatchOptions(lost_after=self._cluster.lost_after, doubts=self._cluster.mode != SYNC),
                )
            )
            self._dispatch = dispatch
            client = stack.enter_context(DispatchClient.local(dispatch))
            client.join()
            dispatch.note(mode=self._cluster.mode, steps=self._plan.steps, loads=self._facts()["loads"])
            beats = stack.enter_context(Heartbeats(client))
            stack.enter_context(self._ended_for_all(dispatch))
            if self._cluster.mode == SYNC:  # Updates wait for all of them; asynchronous ones go on without.
                workers = [(WORKER, number) for number in range(self._task.workers - 1)]
                dispatch.wait_for_roles(workers, self._cluster.come_up_within)
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
            wait_until_up(self._task.cluster[PS], within=self._cluster.come_up_within)
            beats.say("training")
            try:
                self._train_once(dispatch, client)
                return
            except (*TASK_LOST, StaleError) as error:
                dispatch.set_not_ready()
                self._check_hope(dispatch)
                fruitless = fruitless + 1 if self._saved() <= began else 0
                reason = str(getattr(error, "message", error)).splitlines()[0][:200]
                if fruitless >= FRUITLESS:
                    raise TrainingError(
                        f"Another task was lost {fruitless} times in a row without a checkpoint between: {reason}. "
                        "Look at the parameter servers' logs; and save more often (training.checkpoint_every)."
                    ) from error
                _log.warning(
                    "A task was lost (%s: %s); going back to the last checkpoint.", type(error).__name__, reason
                )
                time.sleep(min(5.0, 0.5 * 2**fruitless))
            self._restore()
            dispatch.restart_generation(self._ledger().to_dict(), self._state.step, ready=False)
            client.join()

    def _train_once(self, dispatch: Dispatch, client: DispatchClient) -> None:
        session = TrainingSession(
            self._model,
            self._prepared,
            self._run_dir,
            options=self._options,
            cluster=self._cluster,
            task=self._task,
            placement=self.placement,
            share=self._share,
        )
        with ExitStack() as stack:
            loop = ChiefLoop(
                dispatch,
                self._plan,
                self._state,
                client=client,
                writer=CheckpointWriter(
                    self._run_dir,
                    keep=self._options.keep_checkpoints,
                    fingerprint=self._prepared.fingerprint,
                    weights=described(self._model.weights),
                    parts=self.placement.parts,
                ),
                stop=self._stop,
                is_judged_over=self._hearing.says_over,
                is_hopeless=lambda: bool(self._gone_for_good(dispatch)),
                hold_within=self._cluster.hold_within,
                start_progress=lambda: stack.enter_context(
                    progress("training", total=self._plan.steps - self._state.step, unit="steps")
                ),
                observer=self._observer,
                on_graph=self._write_placement,
                ticket_rows=self._share.batch_size,
                explain_nan=session.explain_nan,
            )
            stack.callback(loop.close)
            session.run(loop, client)

    def _gone_for_good(self, dispatch: Dispatch) -> list[str]:
        """Lost workers that did not come back in time, where updates wait for more than are left."""
        gone = dispatch.lost_longer_than(self._cluster.come_up_within)
        return gone if self._task.workers - len(gone) < self._share.aggregated else []

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
                f"{', '.join(gone)} did not come back within {self._cluster.come_up_within:g} s, and an update needs "
                f"the gradients of {self._share.aggregated} workers. Start them again; or take more cluster.backups."
            )

    def _write_placement(self, graph: tf.Graph) -> None:
        """Note the plan, and what the graph really has where."""
        actual = placed(graph)
        folder = self._run_dir / "cluster"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PLACEMENT, {"plan": self.placement.to_dict(), "actual": actual})

    # --- state ------------------------------------------------------------------------------------------------------

    def _restore(self) -> bool:
        """Bring the state to the newest whole checkpoint; False for a new run."""
        fresh = RunState(stopping_of(self._options, self._prepared))
        for name, value in vars(fresh).items():
            setattr(self._state, name, value)
        return resume(self._model, self._run_dir, self._state, self._prepared.fingerprint, self.placement.parts)

    def _saved(self) -> int:
        """The step of the newest checkpoint."""
        newest = next(iter(checkpoints(self._run_dir / CHECKPOINTS)), None)
        return -1 if newest is None else newest.step

    def _ledger(self) -> Ledger:
        """Of the state as it is now; a run of one machine has trained its first batches."""
        share, fillers = self._share, self._cluster.mode == SYNC
        if self._state.ledger is not None and self._state.ledger["batch_size"] == share.batch_size:
            kept = {"tickets": share.tickets, "done": self._state.ledger["done"]}
        else:
            kept = {"tickets": share.tickets, "done": [[0, done]] if (done := self._done_alone()) else []}
        return Ledger.from_dict(kept, lease=share.lease, fillers=fillers, tickets=share.tickets)

    def _done_alone(self) -> int:
        """Tickets that correspond to the steps done under another cut of the rows."""
        return min(self._share.tickets, self._state.step * self._share.aggregated)

    def _facts(self) -> dict[str, Any]:
        """What the other tasks are told."""
        return {
            "mode": self._cluster.mode,
            "steps": self._share.steps,
            "share": asdict(self._share),
            "workers": self._task.workers,
            "ps": self._task.ps,
            "placement": self._cluster.placement,
            "parts": {str(weight): count for weight, count in self.placement.parts.items()},
            "loads": [
                {"bytes": float(size), "traffic": float(moved)}
                for size, moved in zip(self.placement.bytes, self.placement.traffic, strict=True)
            ],
            "options": self._options.to_dict(),
            "weights": described(self._model.weights),
            "records": facts_of(self._prepared.fingerprint, self._records, self._options)["records"],
            "host": socket.gethostname(),
        }

    def _pass_on(self, evaluation: Evaluation) -> None:
        report = {f"validation_{name}": value for name, value in evaluation.metrics.items()}
        if self._observer is not None and report:
            self._observer.on_metrics(evaluation.step, report)
        if self._dispatch is not None:
            self._dispatch.note(evaluation={"step": evaluation.step, **evaluation.metrics})

    # --- after ------------------------------------------------------------------------------------------------------

    def _await_evaluation(self, dispatch: Dispatch, beats: Heartbeats) -> None:
        """Wait for the evaluator's word on the last checkpoint, if there is one."""
        beats.say("waiting for the evaluator")
        until = time.monotonic() + self._cluster.evaluate_within
        last = newest_of(self._run_dir)
        while last is not None and time.monotonic() < until and not self._hearing.listen().knows(last[1]):
            rows = dispatch.status()["roles"]
            alive = [
                row
                for name, row in rows.items()
                if name.startswith(EVALUATOR) and row["state"] not in ("lost", "finished")
            ]
            if not alive:
                break
            time.sleep(0.2)

    def _finish(self, resumed_from: int | None) -> TrainingResult:
        """Judge what nobody has judged, and hand the best weights back."""
        state = self._state
        last = newest_of(self._run_dir)
        if last is not None and not self._hearing.listen().knows(last[1]):
            evaluate_checkpoint(
                self._model,
                self._prepared.validation,
                self._run_dir,
                last[0],
                self._hearing.judgement,
                fingerprint=self._prepared.fingerprint,
                batch_size=self._options.evaluation_batch_size,
            )
        judgement = self._hearing.listen()
        best_step = load_weights(self._model, self._run_dir, fingerprint=self._prepared.fingerprint)
        evaluations = [
            {"step": one.step, **{f"validation_{name}": value for name, value in one.metrics.items()}}
            for one in judgement.evaluations
        ]
        options = self._options
        if judgement.stopping.is_over and state.step < self._plan.steps:
            reason = "early_stopping"
        else:
            reason = (
                "max_steps" if options.max_steps is not None and self._plan.steps == options.max_steps else "epochs"
            )
        return TrainingResult(
            steps=state.step,
            rows=min(state.step * self._plan.batch_size, self._records.rows * options.epochs),
            seconds=state.seconds,
            samples_per_second=state.samples_per_second,
            best_step=best_step,
            metrics=dict(judgement.stopping.best_metrics),
            history=sorted([*state.history, *evaluations], key=lambda report: report["step"]),
            stopped_because=reason,
            resumed_from=resumed_from,
        )
