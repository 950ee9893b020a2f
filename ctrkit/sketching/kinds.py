"""Choose what kind of feature a column becomes, and say why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ctrkit.sketching.facts import Facts
from ctrkit.sketching.names import AMOUNT, CLASS, is_identifier, speaks_of
from ctrkit.sketching.signal import Signal, buckets, signal

FEW = 12  # Distinct numbers up to which each is a value of its own.
HUGE = 1_000_000  # Distinct values from which on a vocabulary costs more than it tells: hashed.
HASH_BUCKETS = 1 << 20
NEARLY_UNIQUE = 1.15  # Rows that share a value up to which a column is taken for a row's own id.
TELLS_ALL = 0.95  # AUC of one column alone from which on it is taken for something known after the click only.
LEAST_ROWS = 1_000  # Below, an AUC of one column proves nothing.
QUANTILES = (8, 16, 32)
REPEATED = 5  # Rows for each number, on average, from which on numbers are tried as values of their own.
_WORTH = 1e-4  # Nats a row: a smaller gain is chance.


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A feature's options, or None to leave the column out; and why."""

    options: dict[str, Any] | None
    why: str


def choose(facts: Facts, labels: np.ndarray, rows: int, *, owner: bool = False) -> Choice:
    """`labels` bool `[rows of the sample]`, `rows` of the whole log; an `owner` says who sees, or what is shown."""
    out = _left_out(facts, labels)
    if out is not None:
        return Choice(options=None, why=out)
    numbers = facts.numbers
    if numbers is None or owner or is_identifier(facts.name):
        return _by_value(facts, rows)
    if not facts.integers:
        return _by_quantiles(facts, numbers, labels, "a measured number")
    if facts.distinct <= FEW:
        return _by_value(facts, rows, "few enough")
    named = speaks_of(facts.name, AMOUNT)
    if speaks_of(facts.name, CLASS) and not named:
        return _by_value(facts, rows, "codes of something, by its name")
    each, best = signal(facts.codes, labels), _best_quantiles(numbers, labels)[1]
    if facts.rows >= REPEATED * facts.distinct and each.surely_beats(best):
        return _by_value(facts, rows, "each tells more than its range")
    return _by_quantiles(facts, numbers, labels, "an amount by its name" if named else "a range tells as much as each")


def _left_out(facts: Facts, labels: np.ndarray) -> str | None:
    if facts.is_moment:
        return "a moment: derive e.g. the hour and the weekday from it where the log is written"
    if not len(facts.present):
        return "always empty"
    if facts.distinct == 1 and not facts.missing:
        return f"always {_short(facts.present[0])}"
    own = facts.shared_by <= NEARLY_UNIQUE and facts.distinct > FEW
    if own and (facts.numbers is None or is_identifier(facts.name) or (facts.integers and facts.rising)):
        return "nearly every row has a value of its own, so nothing can be learned of one"
    if facts.rows >= LEAST_ROWS:
        auc = signal(facts.codes, labels).auc
        if facts.numbers is not None:
            auc = max(auc, signal(buckets(facts.numbers, QUANTILES[-1]), labels).auc)
        if auc >= TELLS_ALL:
            return f"tells the label by itself (AUC {auc:.3f}): is it known before the click?"
    return None


def _too_many(facts: Facts) -> bool:
    return facts.estimated > HUGE


def _by_value(facts: Facts, rows: int, why: str = "") -> Choice:
    about = "" if facts.distinct == facts.estimated else "about "
    why = f"{about}{facts.estimated:,} values" + (f"; {why}" if why else "")
    if _too_many(facts):
        return Choice(
            options={"kind": "hashed", "buckets": HASH_BUCKETS}, why=f"{why}: too many for a vocabulary, so hashed"
        )
    least = _least_count(facts, rows)
    if least == 1:
        return Choice(options={"kind": "categorical"}, why=why)
    rare = "those seen once" if least == 2 else f"those seen less than {least} times"
    return Choice(options={"kind": "categorical", "min_count": least}, why=f"{why}; {rare} share a row")


def _least_count(facts: Facts, rows: int) -> int:
    """The longer the tail of rare values, the more of them are told apart by chance only."""
    rare = facts.counts[facts.counts * facts.scale < 10].sum() * facts.scale / max(1, rows)
    return 1 if facts.estimated <= 100 else 2 if rare < 0.1 else 4


def _by_quantiles(facts: Facts, numbers: np.ndarray, labels: np.ndarray, why: str) -> Choice:
    count, _ = _best_quantiles(numbers, labels)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    return Choice(options={"kind": "numeric", "quantiles": count}, why=f"{low:g} to {high:g}; {why}")


def _best_quantiles(numbers: np.ndarray, labels: np.ndarray) -> tuple[int, Signal]:
    """The fewest buckets that tell as much as any."""
    tried = {count: signal(buckets(numbers, count), labels) for count in QUANTILES}
    best = min(one.log_loss for one in tried.values())
    return next((count, one) for count, one in tried.items() if one.log_loss <= best + _WORTH)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
