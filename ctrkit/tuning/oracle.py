"""keras-tuner's oracles with a state that survives any kill, a budget, and the experiment's own values first."""

from __future__ import annotations

import itertools
import json
import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial as KerasTrial
from keras_tuner.engine.trial import TrialStatus

from ctrkit.atomic import write_json
from ctrkit.errors import ArtifactError
from ctrkit.tuning.budget import Budget
from ctrkit.tuning.objective import Objective
from ctrkit.tuning.options import BAYESIAN, GRID, HYPERBAND, RANDOM, TuningOptions
from ctrkit.tuning.space import Space
from ctrkit.tuning.trial_file import Trial, TrialFiles, rows_trained

STATE_FILE = "oracle.json"
OVER = (TrialStatus.COMPLETED, TrialStatus.FAILED)
FAILURES_IN_A_ROW = 3  # After which the space, or the machine, must be at fault.
HYPERBAND_WORDS = "tuner/"  # How names of values begin that are keras-tuner's own.


class SearchOracle(keras_tuner.Oracle):
    """What all four have on top of keras-tuner's.

    keras-tuner writes each trial and its own state to separate files, one after the other and not atomically, and
    counts an ended trial as running until the next one begins: killed in between it loses a trial or runs one twice.
    Here all of it is one file, written whole. Which trials there are stands there; what came of them, in `TrialFiles`.
    """

    def prepare(self, folder: Path, options: TuningOptions, space: Space, first: Mapping[str, Any] | None) -> None:
        """Say where the state is, what the budget is, and keras-tuner's values of the first trial if they are given."""
        self.files, self.options, self.search_space = TrialFiles(folder), options, space
        self.budget = Budget.of(options)
        self.first = None if first is None else dict(first)
        self.state_file = folder / STATE_FILE
        self.verbose = 0
        self.stopped_because: str | None = None
        self.failure: BaseException | None = None  # Of the search itself, not of a trial.
        self._seconds_before = 0.0
        self._since = time.monotonic()

    # --- which trials -----------------------------------------------------------------------------------------------

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> KerasTrial:
        """The next trial for a process: the one that it was at, one that was cut short, or a new one."""
        if tuner_id not in self.ongoing_trials and not self._retry_queue:
            self.stopped_because = self.stopped_because or self._reason_to_stop()
        if self.stopped_because is not None and tuner_id not in self.ongoing_trials and not self._retry_queue:
            self.tuner_ids.discard(tuner_id)
            return KerasTrial(self.hyperparameters.copy(), trial_id="", status=TrialStatus.STOPPED)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of scikit-learn, on a fit of few points.
                trial: KerasTrial = super().create_trial(tuner_id)
        except Exception as error:  # Under keras-tuner's lock, which an exception would leave locked for ever.
            self.failure, self.stopped_because = error, f"{type(error).__name__}: {error}"
            return KerasTrial(self.hyperparameters.copy(), trial_id="", status=TrialStatus.STOPPED)
        if trial.status == TrialStatus.STOPPED:
            self.stopped_because = "every combination was tried"
        elif trial.status == TrialStatus.RUNNING:
            self._note(trial, tuner_id)
        return trial

    def _reason_to_stop(self) -> str | None:
        last = self.end_order[-FAILURES_IN_A_ROW:]
        if len(last) == FAILURES_IN_A_ROW and all(self.trials[one].status == TrialStatus.FAILED for one in last):
            return f"{FAILURES_IN_A_ROW} trials failed one after the other"
        rows = rows_trained(self.files.all()) if self.budget.rows is not None else 0
        return self.budget.spent(trials=len(self.trials), seconds=self.seconds, rows=rows)

    @property
    def seconds(self) -> float:
        """That were searched, earlier processes counted."""
        return self._seconds_before + time.monotonic() - self._since

    def _note(self, trial: KerasTrial, tuner_id: str) -> None:
        """Write down what the trial is, in the words of the configuration, for whoever trains it."""
        known = self.files.read(trial.trial_id)
        if known is not None:
            self.files.update(trial.trial_id, tuner=tuner_id)
            return
        values = trial.hyperparameters.values
        own = {name for name in values if name in self.search_space.dimensions or name.startswith(HYPERBAND_WORDS)}
        self.files.write(
            Trial(
                id=trial.trial_id,
                values=self.search_space.decode(values),
                hp={name: value for name, value in values.items() if name not in own},
                share=float(values.get("tuner/epochs", 1)) / getattr(self, "max_epochs", 1),
                continues=values.get("tuner/trial_id"),
                tuner=tuner_id,
            )
        )

    def _random_values(self) -> dict[str, Any] | None:
        """Of every method, where the experiment's own values go first."""
        if self.first is not None and not self.trials:
            hp = keras_tuner.HyperParameters()
            for one in self.hyperparameters.space:
                hp.merge([one])
                if hp.is_active(one):
                    hp.values[one.name] = self.first.get(one.name, one.default)
            return dict(hp.values)
        values: dict[str, Any] | None = super()._random_values()
        return values

    # --- what came of them ------------------------------------------------------------------------------------------

    @keras_tuner.synchronized
    def end_trial(self, trial: KerasTrial) -> None:
        """Count the trial; the values remain those that it was created with."""
        values = dict(self.trials[trial.trial_id].hyperparameters.values)
        trial.hyperparameters.values = {**trial.hyperparameters.values, **values}
        while trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        super().end_trial(trial)
        self.save()  # Once more: keras-tuner has just taken it from those that run.

    def score_trial(self, trial: KerasTrial) -> None:
        """Score by what was written: keras-tuner's messages hold float32."""
        known = self.files.read(trial.trial_id)
        trial.score = math.nan if known is None else known.score

    # --- state ------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        trials = {trial_id: trial.get_state() for trial_id, trial in self.trials.items()}
        write_json(self.state_file, {"seconds": self.seconds, "oracle": self.get_state(), "trials": trials})

    def _save_trial(self, trial: KerasTrial) -> None:
        """Nothing: `save` writes them all."""

    def reload(self) -> None:
        """Take over the state of a search that was interrupted; what ran then is to be run again."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"Cannot read {self.state_file}: {error}. Start a new search: tuning.name=new."
            ) from error
        self.trials = {trial_id: KerasTrial.from_state(one) for trial_id, one in state["trials"].items()}
        # keras-tuner's own list of what runs has ended trials in it.
        cut_short = {trial_id for trial_id, one in self.trials.items() if one.status not in OVER}
        ended = [trial_id for trial_id in state["oracle"]["end_order"] if trial_id not in cut_short]
        # The last of the queue is taken first: the trial that began first.
        queue = sorted(cut_short, reverse=True)
        self.set_state({**state["oracle"], "ongoing_trials": {}, "end_order": ended, "retry_queue": queue})
        self._seconds_before, self._since = float(state["seconds"]), time.monotonic()


class RandomOracle(SearchOracle, keras_tuner.oracles.RandomSearchOracle):
    """Values drawn at random, none twice."""


class HyperbandOracle(SearchOracle, keras_tuner.oracles.HyperbandOracle):
    """Many trials on few rows; the best of them go on with more."""


class BayesianOracle(SearchOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process guesses where to look next."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        # keras-tuner forgets where its generator was when it is interrupted.
        self._random_state = np.random.RandomState([self.seed, len(self.start_order)])
        found: dict[str, Any] = super().populate_space(trial_id)
        if found["values"] is not None and self._duplicate(found["values"]):
            return dict(self._random_populate_space())  # Nothing is learnt from training the same again.
        return found

    def _vectorize_trials(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions in the space and what was found there, to be minimized.

        Of a running trial a pessimistic guess is taken, as in keras-tuner, but of a process that has seen the others.
        """
        sign = -1 if self.objective.direction == "max" else 1
        done = [trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED]
        x = np.array([self._vector(trial) for trial in done])
        y = np.array([sign * trial.score for trial in done], dtype=np.float64)
        running = list(self.ongoing_trials.values())
        if not running:
            return x, y
        self.gpr.fit(x, y)
        guessed = np.array([self._vector(trial) for trial in running])
        mean, deviation = self.gpr.predict(guessed, return_std=True)
        return np.concatenate([x, guessed]), np.concatenate([y, mean + deviation])

    def _vector(self, trial: KerasTrial) -> list[float]:
        values = trial.hyperparameters.values
        return [one.value_to_prob(values.get(one.name, one.default)) for one in self._nonfixed_space()]


class GridOracle(SearchOracle):
    """Every combination in order; of a range without a step, ten values."""

    # keras-tuner's own forgets where it was when it is interrupted.
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.first is not None and not self.trials:
            return {"status": TrialStatus.RUNNING, "values": self._random_values()}
        dimensions = self.hyperparameters.space
        for combination in itertools.product(*(sorted(set(one.values), key=_order) for one in dimensions)):
            hp = keras_tuner.HyperParameters()
            for one, value in zip(dimensions, combination, strict=True):
                hp.merge([one])
                if hp.is_active(one):
                    hp.values[one.name] = value
            if not self._duplicate(hp.values):
                return {"status": TrialStatus.RUNNING, "values": dict(hp.values)}
        return {"status": TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED, "values": None}


def _order(value: Any) -> tuple[str, Any]:
    return (type(value).__name__, value)


def make_oracle(
    folder: Path, options: TuningOptions, space: Space, *, first: Mapping[str, Any] | None = None
) -> SearchOracle:
    """The oracle of `options.method`, with its state in `folder`."""
    objective = Objective(options.objective)
    common: dict[str, Any] = {
        "objective": keras_tuner.Objective(objective.name, objective.direction),
        "seed": options.seed + 1,  # keras-tuner takes 0 for none.
        "max_retries_per_trial": 0,
        "max_consecutive_failed_trials": 10**9,  # It raises under its lock; see `_reason_to_stop`.
    }
    oracle: SearchOracle
    if options.method == RANDOM:
        oracle = RandomOracle(max_trials=None, **common)
    elif options.method == BAYESIAN:
        oracle = BayesianOracle(max_trials=None, num_initial_points=options.initial, **common)
    elif options.method == HYPERBAND:
        oracle = HyperbandOracle(
            max_epochs=options.factor ** (options.rungs - 1),
            factor=options.factor,
            hyperband_iterations=options.iterations,
            **common,
        )
    else:
        assert options.method == GRID
        oracle = GridOracle(max_trials=None, **common)
    oracle.prepare(folder, options, space, first)
    return oracle
