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
        groups: dict[int, list[int]] = {}
        self._listed = []
        for column, field in enumerate(self.fields):
            if _buckets(field) is not None:
                groups.setdefault(len(_of(field)), []).append(column)
            else:
                places = [self._place[part] for part in _of(field) if part in self._place]
                self._listed.append((column, field, places))
        self._hashed = [
            _HashedCrosses(columns, [self.fields[c] for c in columns], self._place, self._user_parts)
            for columns in groups.values()
        ]
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
        rows = np.full((len(tokens), len(self.fields)), MISSING_ROW, dtype=np.int32)
        for group in self._hashed:
            rows[:, group.columns] = group.rows(known, hashes, present)
        for column, field, places in self._listed:
            parts = _of(field)
            if all(known.get(part, "") is not None for part in parts):
                for k in np.flatnonzero(present[:, places].all(axis=1)).tolist():
                    spelled = [str(tokens[k, self._place[p]] if p in self._place else known[p]) for p in parts]
                    rows[k, column] = self._lookup.row_of_token(field, CROSS_SEPARATOR.join(spelled))
        return rows


class _HashedCrosses:
    """Hashed crosses of equally many parts, computed together: numpy's cost is by operation here, not by number."""

    def __init__(self, columns: Sequence[int], fields: Sequence[Field], place: Mapping[str, int], user: Sequence[str]):
        self.columns = np.array(columns)
        parts = np.array([_of(field) for field in fields])  # [crosses, parts]
        self._buckets = np.array([_buckets(field) for field in fields], dtype=np.uint64)
        self._user = tuple(user)
        of_user = {part: number for number, part in enumerate(user)}
        # Of each part in turn: which kept hash it is, and for which crosses it is which of the user's instead.
        self._parts = []
        for named in parts.T.tolist():
            mine = [column for column, part in enumerate(named) if part in of_user]
            kept = np.array([place.get(part, 0) for part in named])
            self._parts.append((kept, np.array(mine, dtype=np.int64), [of_user[named[column]] for column in mine]))

    def rows(self, known: Mapping[str, str | None], hashes: np.ndarray, present: np.ndarray) -> np.ndarray:
        """int32 `[n, crosses]`."""
        tokens = [known[part] for part in self._user]
        of_user = np.array([0 if token is None else hash64(token) for token in tokens], dtype=np.uint64)
        is_there = np.array([token is not None for token in tokens], dtype=bool)
        shape, combined = (len(hashes), len(self.columns)), []
        whole = np.ones(shape, dtype=bool)
        for kept, mine, which in self._parts:
            part, there = hashes[:, kept], present[:, kept]
            if len(mine):
                part[:, mine], there[:, mine] = of_user[which], is_there[which]
            combined.append(part.reshape(-1))
            whole &= there
        rows = (2 + combine_many(combined).reshape(shape) % self._buckets).astype(np.int32)
        return np.where(whole, rows, np.int32(MISSING_ROW))


def _buckets(field: Field) -> int | None:
    assert isinstance(field.feature, Cross)
    return field.feature.buckets


def _of(field: Field) -> tuple[str, ...]:
    assert isinstance(field.feature, Cross)
    return tuple(field.feature.of)
