"""What went wrong, in the order in which it went wrong: the role that failed first is the one to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ctrkit.training.cluster.ending import EXIT_NOT_TRAINED
from ctrkit.training.cluster.launch.role_process import Exit
from ctrkit.training.cluster.launch.roles import CHIEF

TAIL_LINES = 15  # Of the first failing role's log, shown in the error.
ERROR_WITHIN = 40  # Lines from the end among which a role's own `error:` is looked for: TensorFlow may write after it.
OWN_ERRORS = (1, 2)  # Exit statuses of ctrkit's command line for an error that it explains.
SETTLED_AFTER = 30.0  # Seconds without a failure, all roles up: the next failure has a cause of its own.


@dataclass(frozen=True)
class Failure:
    """One role that went wrong: `what` completes a sentence that begins with the role."""

    role: str
    what: str
    at: float  # Monotonic seconds.
    tail: tuple[str, ...]

    @classmethod
    def of(cls, exit: Exit, tail: list[str]) -> Failure:
        """A process that died before its time."""
        return cls(exit.role, f"ended with {exit.how}" if exit.status >= 0 else f"was {exit.how}", exit.at, tuple(tail))


def explained(status: int, tail: list[str]) -> bool:
    """Whether ctrkit's command line ended by saying what is wrong: the next start would say the same.

    >>> explained(1, ["error: no column 'clicked'"]), explained(1, ["ValueError: 3"]), explained(-9, [])
    (True, False, False)
    """
    return status in OWN_ERRORS and any(line.startswith("error:") for line in tail[-ERROR_WITHIN:])


def follows_the_chief(exit: Exit) -> bool:
    """Whether a role has nothing left to do: it is done, or the chief told it that the training ended untrained.

    What went wrong then is the chief's to say: others only hear of it, and often end before the chief does.

    >>> [follows_the_chief(Exit(role, 75, 0.0)) for role in ("worker-0", "chief-0")]
    [True, False]
    """
    return exit.status == 0 or (exit.status == EXIT_NOT_TRAINED and exit.role != CHIEF)


@dataclass
class Incident:
    """Failures that may be each other's consequences."""

    failures: list[Failure] = field(default_factory=list)

    def add(self, failure: Failure) -> None:
        self.failures.append(failure)

    def begun_by_another(self, role: str) -> bool:
        """Whether a failure of `role` now may be the consequence of another's."""
        return bool(self.failures) and self.failures[0].role != role

    def settle(self, now: float) -> None:
        """Called while all roles are up: forget what they got over."""
        if self.failures and now - self.failures[-1].at > SETTLED_AFTER:
            self.failures.clear()

    def text(self, verdict: str, log_dir: Path) -> str:
        """The whole story: who failed first and how, its last lines, who followed, where the logs are."""
        first, *others = self.failures
        lines = [f"{first.role} failed first: it {first.what}. {verdict}".rstrip()]
        lines += _quoted(first)
        for failure in others:
            lines.append(f"Then {failure.role} {failure.what}" + (f": {failure.tail[-1]}" if failure.tail else "."))
        return "\n".join([*lines, f"All logs: {log_dir}"])


def _quoted(failure: Failure) -> list[str]:
    if not failure.tail:
        return ["It wrote nothing to its log."]
    return ["The last lines of its log:", *(f"  | {line}" for line in failure.tail[-TAIL_LINES:])]
