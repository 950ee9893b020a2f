"""Judge the rows of each value of a feature by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctrkit.analysis.intervals import metric_intervals
from ctrkit.analysis.uncertainty import Interval
from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.indexing import FeatureIndex
from ctrkit.indexing.field import MISSING_ROW, Field
from ctrkit.indexing.lookup import CROSS_SEPARATOR
from ctrkit.schema import Categorical, Cross, Hashed, Numeric
from ctrkit.schema import Sequence as SequenceFeature

KNOWN_VALUES = 20  # Up to which a feature is sliced by default.
TOLD = ("auc", "log_loss", "pcoc", "label_rate", "mean_score")
TOP = 8  # Values of a feature, those with most rows.


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The rows that have one value of a feature."""

    feature: str
    value: str
    rows: int
    clicks: int  # Rows that were clicked.
    metrics: dict[str, Interval]  # As `metric_intervals`.

    def as_json(self) -> dict[str, Any]:
        """As plain values: feature, value, rows, clicks, and each metric beside its interval (`auc`, `auc_95`)."""
        told: dict[str, Any] = {"feature": self.feature, "value": self.value, "rows": self.rows, "clicks": self.clicks}
        for name in TOLD:
            one = self.metrics.get(name)
            told[name] = None if one is None else one.estimate
            told[f"{name}_95"] = None if one is None else [one.low, one.high]
        return told


def sliced_fields(index: FeatureIndex, names: Sequence[str] | None = None) -> list[Field]:
    """The fields of the features called `names`; None: those of one value from a vocabulary of at most 20.

    Raises `ConfigError` for a name that is no feature, or a feature of many values a row.
    """
    if names is None:
        return [
            field
            for field in index.fields
            if isinstance(field.feature, Categorical) and len(index.vocabularies[field.name]) <= KNOWN_VALUES
        ]
    known = {field.name: field for field in index.fields if not isinstance(field.feature, SequenceFeature)}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"card.slices: {name!r} is no feature with one value a row.{did_you_mean(name, known)} "
                "Type e.g. card.slices=[device,hour]."
            )
    return [known[name] for name in names]


def slices(
    ids: np.ndarray,
    fields: Sequence[Field],
    index: FeatureIndex,
    labels: ArrayLike,
    scores: ArrayLike,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    top: int = TOP,
) -> list[Slice]:
    """Judge the rows of the `top` most frequent values of each field, most frequent first.

    A field of which all rows have the same value is left out.

    Args:
        ids: int32 `[n, fields]`, each field's column of the records.
        fields: from `sliced_fields`.
        labels, scores, weights, groups: as `metric_intervals`.
        top: values of a field.
    Raises:
        ConfigError: `top` below 1.
        CtrkitError: as `metric_intervals`.
    """
    if top < 1:
        raise ConfigError(f"card.top is {top!r}, expected 1 or more values of a feature.")
    columns = [None if one is None else np.asarray(one).reshape(-1) for one in (labels, scores, weights, groups)]
    found = []
    for place, field in enumerate(fields):
        counts = np.bincount(ids[:, place], minlength=field.rows)
        if counts.max(initial=0) == len(ids):
            continue  # All rows have one value: that is the whole part again.
        values = np.argsort(-counts, kind="stable")[:top]
        for row in values[counts[values] > 0].tolist():
            here = np.flatnonzero(ids[:, place] == row)
            label, score, weight, group = (None if one is None else one[here] for one in columns)
            assert label is not None
            assert score is not None
            metrics = metric_intervals(label, score, weight, group)
            found.append(
                Slice(
                    feature=field.name,
                    value=value_of(row, field, index),
                    rows=len(here),
                    clicks=int(label.sum()),
                    metrics=metrics,
                )
            )
    return found


def value_of(row: int, field: Field, index: FeatureIndex) -> str:
    """What a row of a field means, for people."""
    if row == MISSING_ROW:
        return "(missing)"
    if row <= field.oov:
        return "(unseen)"
    place = row - 1 - field.oov
    if isinstance(field.feature, Numeric):
        cuts = [f"{cut:.6g}" for cut in field.boundaries]
        if not cuts:
            return "any"
        if place == 0:
            return f"below {cuts[0]}"
        return f"from {cuts[-1]}" if place == len(cuts) else f"{cuts[place - 1]} to {cuts[place]}"
    if isinstance(field.feature, Hashed) or (isinstance(field.feature, Cross) and field.feature.buckets is not None):
        return f"bucket {place}"
    return index.vocabularies[field.table].value(place).replace(CROSS_SEPARATOR, " × ")
