"""Tell how a search gets on: one line when a trial begins, one when it ends."""

from __future__ import annotations

from collections.abc import Callable

from ctrkit.tuning.budget import Budget
from ctrkit.tuning.objective import Objective
from ctrkit.tuning.options import TuningOptions
from ctrkit.tuning.ranking import ranked
from ctrkit.tuning.table import shown_values
from ctrkit.tuning.trial_file import COMPLETED, FAILED, RUNNING, Trial, TrialFiles, rows_trained


class Board:
    """Looks at the trials' files, whoever writes them, and says what has changed since the last look.

    Args:
        say: gets each line.
    """

    def __init__(self, files: TrialFiles, options: TuningOptions, say: Callable[[str], None]) -> None:
        self._files, self._options, self._say = files, options, say
        self._objective, self._budget = Objective(options.objective), Budget.of(options)
        self._shown = {trial.id: (trial.status, trial.attempts) for trial in files.all()}

    def look(self) -> None:
        """Say what is new."""
        trials = self._files.all()
        for trial in trials:
            state = (trial.status, trial.attempts)
            if trial.attempts and self._shown.get(trial.id) != state:
                self._shown[trial.id] = state
                self._say(self._begun(trial, len(trials)) if trial.status == RUNNING else self._ended(trial, trials))

    def _begun(self, trial: Trial, count: int) -> str:
        of = f" ({count} of {self._options.trials})" if self._options.trials is not None else ""
        parts = [
            f"trial {trial.id}{of}: {shown_values({**trial.values, **trial.hp})}",
            f"{trial.share:.0%} of the rows" if trial.share < 1 else "",
            f"on from trial {trial.continues}" if trial.continues is not None else "",
            "once more, from its last checkpoint" if trial.attempts > 1 else "",
        ]
        return ", ".join(part for part in parts if part)

    def _ended(self, trial: Trial, trials: list[Trial]) -> str:
        name = self._objective.name
        if trial.status == FAILED:
            text = f"trial {trial.id} failed: {' '.join((trial.reason or '').split())[:200]}"
        else:
            text = f"trial {trial.id}: {name} {trial.score:.5f} after {trial.seconds:.0f} s"
            text += "" if trial.status == COMPLETED else f", given up: {trial.reason}"
        best = ranked(trials, self._objective)[0]
        if best.objective is not None:
            text += f"; best {best.objective:.5f} (trial {best.id})"
        left = self._seconds_left(trials)
        return text + (f"; about {_minutes(left)} left" if left else "")

    def _seconds_left(self, trials: list[Trial]) -> float | None:
        return self._budget.seconds_left(
            trials=len(trials),
            ended=sum(trial.is_over for trial in trials),
            seconds=sum(trial.seconds for trial in trials) / self._options.workers,
            rows=rows_trained(trials),
        )


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
