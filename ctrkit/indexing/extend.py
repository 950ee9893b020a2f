"""Append a later log's values to a feature index: every row that was given keeps its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrkit.errors import IndexMismatchError
from ctrkit.indexing.vocabulary import Vocabulary
from ctrkit.schema import Categorical, Cross, Schema

if TYPE_CHECKING:
    import pyarrow as pa

    from ctrkit.indexing.feature_index import FeatureIndex

_ONLY_WHEN_LEARNED = ("min_count", "max_size")  # They choose the values of a vocabulary and mean nothing afterwards.


def extended_vocabulary(
    feature: Categorical | Cross, known: Vocabulary, values: pa.LargeStringArray, counts: np.ndarray
) -> Vocabulary:
    """`known`, then the values seen at least `min_count` times in a later log, most frequent first, ties by value.

    The counts of known values grow by what was seen. `max_size` bounds old and new values together.

    Args:
      feature: whose `min_count` and `max_size` apply.
      known: the vocabulary to extend.
      values: distinct values of the later log's training part in any order, without nulls.
      counts: int `[values]`, how often each was seen there.
    """
    import pyarrow as pa

    from ctrkit.indexing.build import bytes_of, learn_vocabulary, values_of

    ranks = pa.compute.index_in(values, value_set=values_of(known))
    ranks = np.array(ranks.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    totals = np.array(known.counts, dtype=np.int64)
    totals[ranks[ranks >= 0]] += counts[ranks >= 0]  # Values are distinct.
    new = np.flatnonzero(ranks < 0)
    learned = learn_vocabulary(feature, values.take(pa.array(new)), counts[new])
    room = len(learned) if feature.max_size is None else max(0, min(len(learned), feature.max_size - len(known)))
    end = int(learned.offsets[room])
    blob = np.concatenate([known.blob, learned.blob[:end]])
    offsets = np.concatenate([known.offsets, known.offsets[-1] + learned.offsets[1 : room + 1]])
    if not room:
        blob, offsets = bytes_of(values_of(known))
    return Vocabulary.of_bytes(blob, offsets, np.concatenate([totals, learned.counts[:room]]))


def check_extensible(schema: Schema, index: FeatureIndex, where: object) -> None:
    """Raise `IndexMismatchError` naming the first feature that `schema` declares otherwise than `index` knows it.

    Thresholds may differ: they choose new values only. `where` is how a person calls the index.
    """
    why = _why_other(schema, index.schema)
    if why is not None:
        raise IndexMismatchError(
            f"Index {where} ({index.fingerprint[:12]}) cannot be extended by this schema: {why}. Ids would change "
            "their meaning. Use the schema that the index was made with (thresholds may change), or leave out --extend "
            "to learn a new index."
        )


def _why_other(ours: Schema, theirs: Schema) -> str | None:
    if ours.format.missing != theirs.format.missing:
        return f"other words mean a missing value, {list(ours.format.missing)} and {list(theirs.format.missing)}"
    before, now = [f.name for f in theirs.ordered], [f.name for f in ours.ordered]
    if before != now:
        changed = sorted(set(before) ^ set(now))
        return f"it has other features ({', '.join(changed)})" if changed else "its features come in another order"
    old, new = theirs.to_dict()["features"], ours.to_dict()["features"]
    for name in now:
        if lasting(old[name]) != lasting(new[name]):
            return f"feature {name!r} is {new[name]} here and {old[name]} there"
    return None


def lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a feature's options that give its ids their meaning."""
    return {key: value for key, value in options.items() if key not in _ONLY_WHEN_LEARNED}
