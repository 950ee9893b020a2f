"""Find the column that says whether a row is a click, and the rule that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrkit.errors import LogError
from ctrkit.schema import Label
from ctrkit.sketching.facts import Facts
from ctrkit.sketching.names import (
    CLICKED,
    EVENT,
    OF_CONTEXT,
    OF_USER,
    OUTCOME,
    POSITIVE_EVENTS,
    RATING,
    speaks_of,
    words_of,
)

_MOST_GRADES = 21  # Distinct values of a rating: 0 to 10 in halves.
_TRUE = frozenset({"true", "yes", "y", "t"})
_FALSE = frozenset({"false", "no", "n", "f"})


@dataclass(frozen=True, kw_only=True)
class FoundLabel:
    """The rule, and why this one."""

    label: Label
    why: str
    score: int
    share: float  # Of positives in the sample.


def find_label(columns: Sequence[Facts]) -> FoundLabel:
    """The likeliest label. Raises `LogError` where no column could be one."""
    found = [one for place, facts in enumerate(columns) if (one := _candidate(facts, place, len(columns))) is not None]
    if not found or max(one.score for one in found) < 2:
        shown = ", ".join(facts.name for facts in columns[:12])
        raise LogError(
            f"No column looks like a label: none holds 0 and 1, two values or a rating. Columns: {shown}. "
            "Say which it is: label=COLUMN, or a rule such as label='rating >= 4'."
        )
    best = max(found, key=lambda one: one.score)
    others = [str(one.label) for one in found if one is not best and one.score >= best.score - 1]
    if not others:
        return best
    also = f"{best.why}; it could be {' or '.join(others[:3])} too"
    return FoundLabel(label=best.label, why=also, score=best.score, share=best.share)


def labels_of(label: Label, facts: Facts) -> np.ndarray:
    """bool `[rows]`. Raises `LogError` for a value that the rule cannot read."""
    if facts.values.null_count():
        raise LogError(f"The label's column {facts.name!r} is empty in {facts.values.null_count():,} rows looked at.")
    distinct = facts.values.unique().to_list()
    try:
        positive = [value for value in distinct if label.is_positive(value)]
    except (ValueError, TypeError) as error:
        shown = ", ".join(repr(value) for value in distinct[:5])
        raise LogError(
            f"The label {str(label)!r} does not fit the column's values ({shown}): {error}. "
            f'Write a rule, e.g. label="{facts.name} == {distinct[0]!r}".'
        ) from None
    return facts.values.is_in(positive).to_numpy()


def _candidate(facts: Facts, place: int, count: int) -> FoundLabel | None:
    if facts.is_list or facts.is_moment or facts.missing or not 2 <= facts.distinct <= _MOST_GRADES:
        return None
    found = _two_valued(facts) if facts.distinct == 2 else _graded(facts) or _event(facts)
    if found is None:
        return None
    label, why, score = found
    score += _named(facts.name) + (place in (0, count - 1))
    share = float(labels_of(label, facts).mean())
    return FoundLabel(label=label, why=f"{why}; {share:.1%} are positive", score=score, share=share)


def _named(name: str) -> int:
    words = words_of(name)
    if name.lower() in CLICKED or "_".join(words) in CLICKED:
        return 4
    if speaks_of(name, CLICKED):
        return 3 if len(words) <= 2 else 1
    if speaks_of(name, OUTCOME):
        return 2
    return -2 if speaks_of(name, OF_USER | OF_CONTEXT) else 0


def _two_valued(facts: Facts) -> tuple[Label, str, int] | None:
    values = sorted(facts.present.unique().to_list(), key=str)
    if facts.numbers is not None:
        if set(facts.numbers.tolist()) == {0.0, 1.0}:
            return Label(column=facts.name), "0 and 1", 3
        high = max(facts.numbers.tolist())
        return Label(column=facts.name, operator="==", value=_number(high)), "two numbers", 1
    lower = {str(value).strip().lower() for value in values}
    if lower & _TRUE and lower & _FALSE:
        positive = next(value for value in values if str(value).strip().lower() in _TRUE)
        return Label(column=facts.name, operator="==", value=positive), "yes and no", 2
    counts = {value: int((facts.values == value).sum()) for value in values}
    rarer = min(values, key=lambda value: counts[value])
    return Label(column=facts.name, operator="==", value=rarer), f"two values, {rarer!r} is the rarer", 1


def _graded(facts: Facts) -> tuple[Label, str, int] | None:
    if facts.numbers is None or not speaks_of(facts.name, RATING):
        return None
    grades = sorted(set(facts.numbers.tolist()))
    best = min(grades[1:], key=lambda grade: abs(float((facts.numbers >= grade).mean()) - 0.5))
    label = Label(column=facts.name, operator=">=", value=_number(best))
    return label, f"a rating from {grades[0]:g} to {grades[-1]:g}, cut where the halves are most alike", 5


def _event(facts: Facts) -> tuple[Label, str, int] | None:
    if facts.numbers is not None or not speaks_of(facts.name, EVENT):
        return None
    positive = sorted(v for v in facts.present.unique().to_list() if set(words_of(str(v))) & POSITIVE_EVENTS)
    if not 0 < len(positive) < facts.distinct:
        return None
    return Label(column=facts.name, operator="in", value=positive), "events, some of which mean interest", 3


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value
