"""What an extension did to an index: growth and drift of each feature, and the extended index itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ctrkit.indexing.drift import divergence, heaviest
from ctrkit.indexing.feature_index import FeatureIndex
from ctrkit.indexing.vocabulary import Vocabulary
from ctrkit.schema import Schema


def vocabulary_growth(
    known: Vocabulary, before: Mapping[str, int], grown: Vocabulary, missing: int, out_of_vocabulary: int
) -> dict[str, Any]:
    """Growth and drift of a feature with a vocabulary, from the training part of the later log.

    Args:
        known: the vocabulary that was extended; `before` its statistics (`missing`, `out_of_vocabulary` rows).
        grown: the extended one, with the counts of both.
        missing: values of the later log that are missing; `out_of_vocabulary`: that neither vocabulary knows.
    """
    seen = np.asarray(grown.counts[: len(known)] - known.counts, dtype=np.float64)
    new = float(grown.counts[len(known) :].sum())
    old_cells, new_cells = heaviest(np.asarray(known.counts, dtype=np.float64), seen)
    rest = [before.get("missing", 0), before.get("out_of_vocabulary", 0)]
    values = seen.sum() + new + out_of_vocabulary
    return {
        "known": len(known),
        "appended": len(grown) - len(known),
        "unseen": _share(new + out_of_vocabulary, values),  # Of present values: out of vocabulary to the old index.
        "out_of_vocabulary": _share(out_of_vocabulary, values),
        "missing": _share(missing, missing + values),
        "drift": _number(
            divergence(np.append(old_cells, rest), np.append(new_cells, [missing, new + out_of_vocabulary]))
        ),
    }


def bucket_drift(before: Sequence[int] | None, now: np.ndarray) -> dict[str, Any]:
    """Drift of a numeric feature: training rows in each of its rows, of the logs before (None: unknown) and now."""
    drift = None if before is None else _number(divergence(np.asarray(before, dtype=np.float64), now))
    return {"missing": _share(float(now[0]), float(now.sum())), "drift": drift}


def extended_index(
    schema: Schema,
    parent: FeatureIndex,
    vocabularies: Mapping[str, Vocabulary],
    boundaries: Mapping[str, Sequence[float]],
    statistics: Mapping[str, Any],
    growth: Mapping[str, Mapping[str, Any]],
) -> FeatureIndex:
    """The extended index: its statistics are of all logs together, `statistics["extension"]` tells of the last one."""
    old = parent.statistics
    features = {
        name: {**found, **{key: found[key] + _old(old, name).get(key, 0) for key in ("missing", "out_of_vocabulary")}}
        for name, found in statistics["features"].items()
    }
    buckets = {
        name: (np.asarray(found) + np.asarray(old.get("buckets", {}).get(name, 0))).tolist()
        for name, found in statistics["buckets"].items()
    }
    together = {
        "train_rows": statistics["train_rows"] + int(old.get("train_rows", 0)),
        "features": features,
        "buckets": buckets,
        "extension": {"parent": parent.fingerprint, "train_rows": statistics["train_rows"], "features": dict(growth)},
    }
    return FeatureIndex(schema, vocabularies, boundaries, together, [parent.as_ancestor(), *parent.ancestors])


def _old(statistics: Mapping[str, Any], name: str) -> Mapping[str, int]:
    found: Mapping[str, int] = statistics.get("features", {}).get(name, {})
    return found


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
