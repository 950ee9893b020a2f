"""Tell whether one feature index is another with more values behind: rows of the old one keep their meaning."""

from __future__ import annotations

import numpy as np

from ctrkit.indexing import FeatureIndex
from ctrkit.indexing.extend import lasting


def why_no_extension(new: FeatureIndex, old: FeatureIndex) -> str | None:
    """What keeps `new` from being an extension of `old`, as the end of a sentence; None where it is one.

    Ids made with `old` then mean the same to a model of `new`.
    """
    if new.schema.format.missing != old.schema.format.missing:
        return "other words mean a missing value"
    before, after = ([field.name for field in index.fields] for index in (old, new))
    if before != after:
        changed = sorted(set(before) ^ set(after))
        return f"it has other features ({', '.join(changed)})" if changed else "its features come in another order"
    described = [index.schema.to_dict()["features"] for index in (old, new)]
    for one, other in zip(old.fields, new.fields, strict=True):
        if lasting(described[0][one.name]) != lasting(described[1][one.name]):
            return f"feature {one.name!r} is defined in another way"
        if (one.start, one.length, one.table, one.oov) != (other.start, other.length, other.table, other.oov):
            return f"feature {one.name!r} lies in other columns"
    for name, cuts in old.boundaries.items():
        if new.boundaries.get(name) != cuts:
            return f"feature {name!r} has other boundaries"
    for name, vocabulary in old.vocabularies.items():
        longer = new.vocabularies[name]
        count, end = len(vocabulary), int(vocabulary.offsets[-1])
        same = (
            len(longer) >= count
            and np.array_equal(longer.offsets[: count + 1], vocabulary.offsets)
            and np.array_equal(longer.blob[:end], vocabulary.blob[:end])
        )
        if not same:
            return f"values of {name!r} have other rows"
    return None
