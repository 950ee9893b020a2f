"""One gate's answer: a figure, what was asked of it, and the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["passed", "failed", "skipped"]
PASSED: Verdict = "passed"
FAILED: Verdict = "failed"
SKIPPED: Verdict = "skipped"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a gate found."""

    name: str
    verdict: Verdict  # skipped: there is nothing to compare with, which lets through.
    figure: float | None  # What was measured; None where nothing was.
    bound: str  # What was asked of it, for people.
    text: str  # What was found and, where it failed, how far off it is and what to do.

    @property
    def lets_through(self) -> bool:
        return self.verdict != FAILED

    @property
    def tag(self) -> str:
        """As the value of a tag."""
        return f"{self.verdict}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def judged(name: str, is_good: bool, *, figure: float | None, bound: str, text: str) -> Gate:
    """A gate that passed or failed."""
    return Gate(name=name, verdict=PASSED if is_good else FAILED, figure=figure, bound=bound, text=text)


def skipped(name: str, *, bound: str, text: str) -> Gate:
    """A gate that has nothing to judge."""
    return Gate(name=name, verdict=SKIPPED, figure=None, bound=bound, text=text)
