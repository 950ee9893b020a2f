"""A keras-tuner tuner whose trials are trained as `ctrkit train` does."""

from __future__ import annotations

import contextlib
import gc
import io
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError

from ctrkit.atomic import atomic_directory
from ctrkit.errors import ArtifactError
from ctrkit.training.checkpoint import BEST, CHECKPOINTS
from ctrkit.training.run_file import RunFile
from ctrkit.tuning.nested_runs import NestedRuns, OpenRun
from ctrkit.tuning.objective import Objective
from ctrkit.tuning.options import HYPERBAND, TuningOptions
from ctrkit.tuning.oracle import SearchOracle
from ctrkit.tuning.pruning import Curves, MedianRule, TrialPruned
from ctrkit.tuning.ranking import drop_weights
from ctrkit.tuning.space import Space
from ctrkit.tuning.task import Ended, Explore, Extent, Measure, Task, Tell, Train
from ctrkit.tuning.trial_file import COMPLETED, FAILED, PRUNED, Trial, TrialFiles

ASK_AGAIN = 0.5  # Seconds until a process without a trial asks for one again.


class _SpaceOnly(keras_tuner.HyperModel):
    """Declares a space for keras-tuner to find; what is trained is built elsewhere."""

    def __init__(self, space: Space, explore: Explore | None) -> None:
        super().__init__()
        self._space, self._explore = space, explore

    def build(self, hp: Any) -> None:
        self._space.declare(hp)
        if self._explore is not None:
            self._explore(hp)
            tf.keras.backend.clear_session()


class _Trials(BaseTuner):
    """Asks the oracle, or the chief's over keras-tuner's wire, for trials and trains them one after the other."""

    def __init__(
        self,
        oracle: SearchOracle,
        folder: Path,
        *,
        train: Train,
        measure: Measure,
        open_run: OpenRun,
        explore: Explore | None = None,
        tell: Tell | None = None,
        ended: Ended | None = None,
    ) -> None:
        self.files: TrialFiles = oracle.files
        self.options: TuningOptions = oracle.options
        self.metric = Objective(self.options.objective)
        self.search_oracle, self._state_file = oracle, oracle.state_file
        self._train, self._measure, self.open_run = train, measure, open_run
        self._tell = tell or (lambda trial: None)
        self._ended = ended or (lambda run_dir, tracker: None)
        self._failure: Exception | None = None  # Of the trial at hand.
        with contextlib.redirect_stdout(io.StringIO()):  # keras-tuner says that it reloads, whatever it does.
            super().__init__(
                oracle, _SpaceOnly(oracle.search_space, explore), directory=str(folder.parent), project_name=folder.name
            )

    # --- state: the oracle's alone ----------------------------------------------------------------------------------

    def _get_tuner_fname(self) -> str:
        return str(self._state_file)

    def save(self) -> None:
        if not self._is_worker():
            self.oracle.save()

    def reload(self) -> None:
        if not self._is_worker():
            self.oracle.reload()

    # --- trials -----------------------------------------------------------------------------------------------------

    def search(self) -> None:
        """Train trials until the oracle says that there are no more. Raises what is at fault beyond one trial."""
        self.save()
        while True:
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                break
            if trial.status == TrialStatus.IDLE:
                time.sleep(ASK_AGAIN)
                continue
            try:
                self._run_and_update_trial(trial)
                trial.status = TrialStatus.COMPLETED
            except FailedTrialError as error:
                trial.status, trial.message = TrialStatus.FAILED, str(error)
            except FatalError as error:
                raise error.__cause__ or error from None
            self.on_trial_end(trial)
        if self.search_oracle.failure is not None:
            raise self.search_oracle.failure

    def trial_of(self, trial: Any) -> Trial:
        """What is written of keras-tuner's trial."""
        known = self.files.read(trial.trial_id)
        if known is None:
            raise FatalError(f"Trial {trial.trial_id} is not in {self.files.folder}") from ArtifactError(
                f"Trial {trial.trial_id} is not in {self.files.folder}, where the chief wrote it: all processes of a "
                "search need the same work_dir, on a disk that they share."
            )
        return known

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Train, note what came of it and return the objective. Raises `FailedTrialError`."""
        known = self.trial_of(trial)
        self._failure = None
        if not known.is_over:
            known = self._run(known)
        if known.status == FAILED:
            raise FailedTrialError(known.reason or "failed") from self._failure
        return {self.metric.name: known.score}

    def _run(self, trial: Trial) -> Trial:
        run_dir = self.files.run_dir(trial.id)
        trial = self.files.update(
            trial.id,
            attempts=trial.attempts + 1,
            run_id=self.tracker.run_id,
            tuner=self.tuner_id,
            seconds=trial.seconds,
        )
        self._tell(trial)
        start = time.monotonic()
        curves: Curves | None = None
        try:
            extent = self._measure(trial.values, trial.hp)
            before = self._inherit(trial, extent, run_dir)
            curves = self._curves(trial, extent)
            task = Task(
                trial=trial,
                run_dir=run_dir,
                tracker=self.tracker,
                observer=curves,
                max_steps=extent.steps_of(trial.share),
            )
            result = self._train(task)
            score = self.metric.of(result.metrics)
            changes: dict[str, Any] = {
                "status": COMPLETED if not math.isnan(score) else FAILED,
                "reason": None if not math.isnan(score) else f"{self.metric.name} of the validation part is no number",
                "objective": score,
                "metrics": result.metrics,
                "steps": result.steps,
                "rows": result.rows,
                "rows_before": before,
            }
        except TrialPruned as pruned:
            assert curves is not None
            rows, best = curves.points[-1][0], min((value for _, value in curves.points), key=self.metric.rank)
            RunFile(run_dir).update(status=PRUNED, reason=str(pruned))
            self.tracker.set_tags({"ctrkit.pruned": str(pruned)})
            changes = {
                "status": PRUNED,
                "reason": str(pruned),
                "objective": best,
                "steps": int(rows) // extent.rows_per_step,
                "rows": int(rows),
            }
        except (ArtifactError, MemoryError) as error:  # The next trial would not fare better.
            raise FatalError(str(error)) from error
        except Exception as error:
            self._failure = error
            changes = {"status": FAILED, "reason": f"{type(error).__name__}: {error}"}
        finally:
            tf.keras.backend.clear_session()
            gc.collect()
        if curves is not None:
            changes["curve"] = curves.points
        trial = self.files.update(trial.id, seconds=trial.seconds + time.monotonic() - start, **changes)
        if trial.objective is not None:
            self.tracker.log_metrics({"objective": trial.objective, f"best_{self.metric.name}": trial.objective})
        self._ended(run_dir, self.tracker)
        self._drop_weights()
        self._tell(trial)
        return trial

    def _curves(self, trial: Trial, extent: Extent) -> Curves:
        rule = MedianRule(
            objective=self.metric,
            least_trials=self.options.prune_after_trials,
            least_rows=self.options.prune_after * extent.steps * extent.rows_per_step,
        )

        def on_point(points: list[list[float]]) -> None:
            self.files.update(trial.id, curve=points, rows=int(points[-1][0]))
            if not self.options.prune or self.options.method == HYPERBAND:
                return
            others = [one.curve for one in self.files.all() if one.status == COMPLETED and one.id != trial.id]
            verdict = rule.verdict(points, others)
            if verdict is not None:
                raise TrialPruned(verdict)

        return Curves(
            self.metric,
            rows_per_step=extent.rows_per_step,
            start=[[rows, math.nan if value is None else value] for rows, value in trial.curve],
            told=self.tracker.on_metrics,
            on_point=on_point,
        )

    def _inherit(self, trial: Trial, extent: Extent, run_dir: Path) -> int:
        """Take over the weights of the trial that this one continues; returns the rows that it was trained on."""
        if trial.continues is None or not extent.can_continue:
            return 0
        past = self.files.read(trial.continues)
        source = self.files.run_dir(trial.continues)
        if past is None or not (source / CHECKPOINTS).is_dir():
            return 0
        if not (run_dir / CHECKPOINTS).is_dir():
            for name in (BEST, CHECKPOINTS):  # That of checkpoints last: it is what says that all is there.
                with atomic_directory(run_dir / name) as temporary:
                    for path in (source / name).iterdir():
                        _copy(path, temporary / path.name)
            RunFile(run_dir).update(**RunFile(source).read())
        return past.rows

    def _drop_weights(self) -> None:
        """Remove checkpoints that nobody will ask for: all but the best trial's, once nothing can continue them."""
        if self.options.keep == "best" and self.options.method != HYPERBAND:
            drop_weights(self.files, self.metric)


class SearchTuner(NestedRuns, _Trials):
    """The tuner of a search: trials, each within a nested tracked run."""


def explore_space(oracle: SearchOracle, explore: Explore | None) -> None:
    """Have a chief's oracle learn the space, or go on from its state, as a tuner does."""
    _Trials(oracle, oracle.state_file.parent, train=_never, measure=_never, open_run=_never, explore=explore)


def _never(*arguments: Any) -> Any:
    raise AssertionError("A chief trains nothing.")


def _copy(source: Path, target: Path) -> None:
    """Link the tensors, which are never written again, where the disk can; copy what is small."""
    if ".data-" in source.name:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
