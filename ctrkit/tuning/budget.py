"""How much a search may use: trials, minutes or training rows, whichever runs out first."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.tuning.options import TuningOptions


@dataclass(frozen=True, kw_only=True)
class Budget:
    """None: no limit."""

    trials: int | None = None
    minutes: float | None = None
    rows: int | None = None

    @classmethod
    def of(cls, options: TuningOptions) -> Budget:
        return cls(trials=options.trials, minutes=options.minutes, rows=options.rows)

    def spent(self, *, trials: int, seconds: float, rows: int) -> str | None:
        """What ran out, in words; None while another trial may begin."""
        if self.trials is not None and trials >= self.trials:
            return f"tuning.trials={self.trials}"
        if self.minutes is not None and seconds >= 60 * self.minutes:
            return f"tuning.minutes={self.minutes:g}"
        if self.rows is not None and rows >= self.rows:
            return f"tuning.rows={self.rows}"
        return None

    def seconds_left(self, *, trials: int, ended: int, seconds: float, rows: int) -> float | None:
        """About how long the search goes on, by its pace so far; None while there is none.

        Args:
            trials: begun so far.
            ended: of them over.
            seconds: searched so far.
            rows: trained on so far.
        """
        guesses = []
        if self.trials is not None and ended:
            guesses.append((max(self.trials, trials) - ended) * seconds / ended)
        if self.minutes is not None:
            guesses.append(60 * self.minutes - seconds)
        if self.rows is not None and rows:
            guesses.append((self.rows - rows) * seconds / rows)
        return max(min(guesses), 0.0) if guesses else None
