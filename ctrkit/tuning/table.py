"""The trials of a search as lines of text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ctrkit.tuning.objective import Objective
from ctrkit.tuning.ranking import deviation, mean_score, scores
from ctrkit.tuning.trial_file import COMPLETED, PRUNED, Trial


def trial_table(trials: Sequence[Trial], objective: Objective, *, most: int | None = None) -> str:
    """Trials in the order given, the objective first; a finalist's is the mean over its seeds, with their deviation.

    Keys lose what they all begin with, where that leaves each of them its own.
    """
    shown = trials if most is None else trials[:most]
    keys = list(dict.fromkeys(key for trial in shown for key in {**trial.values, **trial.hp}))
    rows = [["trial", objective.name, "trained on", *short_names(keys), ""]]
    for trial in shown:
        row = {**trial.values, **trial.hp}
        cells = [shown_value(row.get(key)) for key in keys]
        rows.append([trial.id, score_text(trial, objective), _extent(trial), *cells, _remark(trial)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left = len(trials) - len(shown)
    return "\n".join([f"  {line}" for line in lines] + ([f"  … and {left} more"] if left else []))


def score_text(trial: Trial, objective: Objective) -> str:
    """The objective with what is known of its spread.

    >>> score_text(Trial(id="0", values={}, objective=0.75), Objective("auc"))
    '0.75000'
    """
    if math.isnan(trial.score):
        return "-"
    spread = deviation(trial, objective)
    mean = f"{mean_score(trial, objective):.5f}"
    return mean if spread is None else f"{mean} ± {spread:.5f} ({len(scores(trial, objective))} seeds)"


def short_names(keys: Sequence[str]) -> list[str]:
    """The last word of each key, where no two keys share it."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def shown_value(value: Any) -> str:
    """A value as one short word.

    >>> [shown_value(value) for value in (0.04000, [64, 32], "relu", None)]
    ['0.04', '[64,32]', 'relu', '-']
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def shown_values(values: Mapping[str, Any]) -> str:
    """`dim=16 dropout=0.1`."""
    names = short_names(list(values))
    return " ".join(f"{name}={shown_value(value)}" for name, value in zip(names, values.values(), strict=True))


def _extent(trial: Trial) -> str:
    rows = f"{trial.rows:,} rows, {trial.seconds:.0f} s"
    return rows if trial.share >= 1 else f"{rows} ({trial.share:.0%})"


def _remark(trial: Trial) -> str:
    if trial.status == COMPLETED:
        return f"went on from {trial.continues}" if trial.continues is not None else ""
    return trial.status if trial.status == PRUNED else f"failed: {' '.join((trial.reason or '').split())[:80]}"
