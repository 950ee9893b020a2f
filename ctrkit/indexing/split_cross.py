"""Crosses of an item feature with one of the user: the item's half is kept, the user's half comes with the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ctrkit.indexing.feature_index import FeatureIndex
from ctrkit.indexing.field import MISSING_ROW, Field
from ctrkit.indexing.hashing import combine_many, hash64
from ctrkit.indexing.lookup import CROSS_SEPARATOR
from ctrkit.schema import Cross, column_of


def is_split(field: Field, index: FeatureIndex) -> bool:
    """Whether the field needs more than the item: a cross with a part of the user or of the context."""
    return isinstance(field.feature, Cross) and any(index[part].side != "item" for part in field.feature.of)


class SplitCrosses:
    """The rows of `fields`, all of them split crosses, for one user and many items whose halves were kept."""

    def __init__(self, index: FeatureIndex, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._lookup = index.lookup
        parts = [part for field in fields for part in _of(field)]
        self._item_parts = tuple(dict.fromkeys(part for part in parts if index[part].side == "item"))
        self._user_parts = tuple(dict.fromkeys(part for part in parts if index[part].side != "item"))
        self._place = {part: place for place, part in enumerate(self._item_parts)}
        self.user_columns = frozenset(str(column_of(index[part].feature)) for part in self._user_parts)

    @property
    def width(self) -> int:
        """Tokens of an item's half."""
        return len(self._item_parts)

    def item_half(self, item: Mapping[str, Any]) -> tuple[list[str | None], list[int]]:
        """Tokens of an item's parts and their hashes (0 where missing), `width` each."""
        tokens = [self._lookup.part_token(part, item) for part in self._item_parts]
        return tokens, [0 if token is None else hash64(token) for token in tokens]

    def ids(self, user: Mapping[str, Any], tokens: np.ndarray, hashes: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Rows of each item under each field: int32 `[n, fields]`.

        `tokens` (objects), `hashes` (uint64) and `present` (bool: is no missing value) are `[n, width]`, the halves of
        n items.
        """
        known = {part: self._lookup.part_token(part, user) for part in self._user_parts}
        columns = [self._rows(field, known, tokens, hashes, present) for field in self.fields]
        return np.stack(columns, axis=1) if columns else np.empty((len(tokens), 0), dtype=np.int32)

    def _rows(
        self,
        field: Field,
        known: Mapping[str, str | None],
        tokens: np.ndarray,
        hashes: np.ndarray,
        present: np.ndarray,
    ) -> np.ndarray:
        feature, count = field.feature, len(tokens)
        assert isinstance(feature, Cross)
        if any(known.get(part, "") is None for part in feature.of):
            return np.full(count, MISSING_ROW, dtype=np.int32)
        places = [self._place[part] for part in feature.of if part in self._place]
        whole = present[:, places].all(axis=1)
        if feature.buckets is not None:
            parts = [
                hashes[:, self._place[part]]
                if part in self._place
                else np.full(count, hash64(str(known[part])), dtype=np.uint64)
                for part in feature.of
            ]
            rows = (2 + combine_many(parts) % np.uint64(feature.buckets)).astype(np.int32)
            return np.where(whole, rows, np.int32(MISSING_ROW))
        rows = np.full(count, MISSING_ROW, dtype=np.int32)
        for k in np.flatnonzero(whole).tolist():
            spelled = [str(tokens[k, self._place[part]] if part in self._place else known[part]) for part in feature.of]
            rows[k] = self._lookup.row_of_token(field, CROSS_SEPARATOR.join(spelled))
        return rows


def _of(field: Field) -> tuple[str, ...]:
    assert isinstance(field.feature, Cross)
    return tuple(field.feature.of)
