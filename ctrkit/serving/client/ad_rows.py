"""The ids of ads that were seen before, by their key, in a bounded number of rows."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ctrkit.errors import ConfigError, RequestError, did_you_mean
from ctrkit.indexing import FeatureIndex
from ctrkit.indexing.split_cross import SplitCrosses, is_split
from ctrkit.schema import column_of
from ctrkit.serving.client.ads import ROWS, Ad

AT_ONCE = 16  # A sixteenth of the rows is given up at once: looking for the oldest one by one would cost each miss.
_IDS = (str, int, np.integer)
_SIMPLE = (str, int, float, bool, bytes, type(None))


class AdRows:
    """Item ids by ad; the ads not asked for the longest are given up first. Safe to share between threads.

    An ad whose values differ from those that were kept is indexed again; with a `version` column that column alone
    is compared. Crosses with the user's columns are computed for each request from halves that are kept.
    """

    def __init__(self, index: FeatureIndex, key: str | None, *, version: str | None = None, rows: int = ROWS) -> None:
        self._index = index
        self._plain = index.lookup.compiled([f for f in index.item_fields if not is_split(f, index)])
        split = [field for field in index.item_fields if is_split(field, index)]
        self._slow_crosses = index.lookup.compiled(split)
        self._crosses = SplitCrosses(index, split)
        start = index.user_width
        self._cross_columns = np.array([field.start - start for field in split], dtype=np.int64)
        kept = np.setdiff1d(np.arange(index.item_width), self._cross_columns)
        self._plain_columns = kept
        self.columns = {str(column_of(f.feature)) for f in index.item_fields if column_of(f.feature) is not None}
        self.key, self._version, self.capacity = key, version, 0 if key is None else rows
        if key is None:
            if version is not None:
                raise ConfigError(f"`ad_version` is {version!r} without an `ad_key`: name the column of the ads' ids.")
            return
        if rows < 1:
            raise ConfigError(f"`ad_rows` is {rows}, expected 1 or more.")
        if key not in index.schema.columns:
            raise ConfigError(
                f"`ad_key` is {key!r}, no column that the model knows.{did_you_mean(key, index.schema.columns)}"
            )
        self._lock = threading.Lock()
        self._slots: dict[Hashable, int] = {}
        self._keys: list[Hashable] = []
        self._given: list[Any] = []  # Of each slot: what is compared with the values of the next request.
        self._ids = np.empty((rows, index.item_width), dtype=np.int32)  # Pages are taken when they are written.
        self._used = np.zeros(rows, dtype=np.int64)
        self._pinned = np.zeros(rows, dtype=bool)
        self._values: dict[int, dict[str, Any]] = {}  # Of pinned slots.
        self._free: list[int] = []
        self._tick = 0
        width = self._crosses.width
        self._tokens = np.empty((rows, width), dtype=object)
        self._hashes = np.zeros((rows, width), dtype=np.uint64)
        self._present = np.zeros((rows, width), dtype=bool)

    def __len__(self) -> int:
        return len(self._slots) if self.key is not None else 0

    def ids(self, person: Mapping[str, Any], ads: Sequence[Ad], check: Any) -> np.ndarray:
        """Item ids, int32 `[n, item_width]`; `person` holds the user's and the context's values.

        `check(ad)` is called for ads that are indexed. Raises `RequestError` with the place of an ad that is refused.
        """
        if self.key is None:
            return self._fresh_rows(person, ads, range(len(ads)), check)
        with self._lock:
            self._tick += 1
            slots = self._find(ads)
            missing = [place for place, slot in enumerate(slots) if slot < 0]
            there = np.array(slots, dtype=np.int64)
            if not missing:
                return self._kept_rows(person, there)
            out = np.empty((len(ads), self._ids.shape[1]), dtype=np.int32)
            hits = np.flatnonzero(there >= 0)
            out[hits] = self._kept_rows(person, there[hits])
            whole = [self._whole(ads[place], place) for place in missing]
            out[missing] = rows = self._fresh_rows(person, whole, missing, check)
            for ad, row in zip(whole, rows, strict=True):
                self._keep(ad, row)
            return out

    def remember(self, ads: Iterable[Mapping[str, Any]], check: Any) -> int:
        """Keep ads until they are forgotten; returns how many there are. Raises `RequestError`."""
        if self.key is None:
            raise RequestError("Ads are remembered by id: open the client with ad_key=COLUMN.")
        listed = list(ads)
        rows = self._fresh_rows({}, listed, range(len(listed)), check, crosses=False)
        with self._lock:
            self._tick += 1
            for place, (ad, row) in enumerate(zip(listed, rows, strict=True)):
                if ad.get(self.key) is None:
                    raise RequestError(f"`ads`, place {place}: no {self.key!r}, by which it would be remembered.")
                slot = self._keep(ad, row)
                if slot is None:
                    full = self._pinned.sum() >= self.capacity
                    why = f"all {self.capacity:,} rows hold remembered ads; open the client with a larger ad_rows"
                    raise RequestError(
                        f"`ads`, place {place}: {ad!r} cannot be remembered: "
                        f"{why if full else 'it holds values of the user or the context, or of types that may change'}."
                    )
                self._pinned[slot] = True
                self._values[slot] = self._own_values(slot, ad)
            return int(self._pinned.sum())

    def forget(self, keys: Iterable[Hashable] | None = None) -> None:
        """Drop ads by id; all when None."""
        if self.key is None:
            return
        with self._lock:
            for key in list(self._slots) if keys is None else list(keys):
                slot = self._slots.pop(key, None)
                if slot is not None:
                    self._release(slot)

    def remembered(self) -> list[dict[str, Any]]:
        """The ads that `remember` was given."""
        return list(self._values.values()) if self.key is not None else []

    # --- internals ----------------------------------------------------------------------------------------------

    def _find(self, ads: Sequence[Ad]) -> list[int]:
        """The slot of each ad; -1 where it is unknown or has changed."""
        get, key_column, given, slots = self._slots.get, self.key, self._given, []
        is_same = self._has_same_values if self._version is None else self._has_same_version
        for ad in ads:
            if type(ad) is not dict and isinstance(ad, _IDS):
                slots.append(get(ad, -1))
                continue
            try:
                slot = get(ad.get(key_column), -1)  # type: ignore[union-attr]
                if slot >= 0 and not is_same(given[slot], ad):
                    slot = -1
            except (AttributeError, TypeError, ValueError):  # No mapping, or a value that cannot be compared.
                slot = -1
            slots.append(slot)
        return slots

    def _has_same_version(self, given: Any, ad: Any) -> bool:
        return bool(given == ad.get(self._version))

    def _has_same_values(self, given: Any, ad: Any) -> bool:
        values, types = given
        if type(ad) is not dict:  # A subclass may have its own idea of what is equal.
            ad = {column: ad.get(column) for column in ad}
        if values != ad:  # By far the cheapest way to compare: a loop in C that passes over values that are identical.
            return False
        for column, kind in types:  # noqa: SIM110 - `all` would take as long as the comparison.
            if type(ad[column]) is not kind:
                return False
        return True

    def _kept_rows(self, person: Mapping[str, Any], slots: np.ndarray) -> np.ndarray:
        self._used[slots] = self._tick
        rows = self._ids[slots]
        if len(self._cross_columns):
            rows[:, self._cross_columns] = self._crosses.ids(
                person, self._tokens[slots], self._hashes[slots], self._present[slots]
            )
        return rows

    def _whole(self, ad: Ad, place: int) -> Mapping[str, Any]:
        """An ad's values; an id is enough where the items have no other column."""
        if isinstance(ad, Mapping) or not isinstance(ad, _IDS):
            return ad  # type: ignore[return-value]
        if self.columns <= {self.key}:
            return {str(self.key): ad}
        others = sorted(self.columns - {str(self.key)})
        raise RequestError(
            f"`ads`, place {place}: {ad!r} is not remembered, and its {', '.join(map(repr, others[:5]))} cannot be "
            "told from its id. Send its values, or `client.remember([...])` them first."
        )

    def _fresh_rows(
        self,
        person: Mapping[str, Any],
        ads: Sequence[Any],
        places: Sequence[int],
        check: Any,
        *,
        crosses: bool = True,
    ) -> np.ndarray:
        rows = np.zeros((len(ads), self._index.item_width), dtype=np.int32)
        plain, several = [], []
        for place, ad in zip(places, ads, strict=True):
            check(ad)
            try:
                plain.append(self._plain(ad))
                if crosses and len(self._cross_columns):
                    several.append(self._slow_crosses({**person, **ad}))
            except RequestError as error:
                raise RequestError(f"`ads`, place {place}: {error}") from error
        rows[:, self._plain_columns] = np.array(plain, dtype=np.int32).reshape(len(ads), len(self._plain_columns))
        if several:
            rows[:, self._cross_columns] = several
        return rows

    def _keep(self, ad: Mapping[str, Any], row: np.ndarray) -> int | None:
        """Put an ad into a slot; None where it cannot be kept."""
        key, given = ad.get(self.key), self._comparable(ad)  # type: ignore[arg-type]
        if key is None or not isinstance(key, (str, int, float, bytes)) or given is None:
            return None
        if self._crosses.user_columns & ad.keys():  # Its crosses read its own value instead of the user's.
            return None
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slot()
            if slot is None:
                return None
            self._slots[key] = slot
            self._keys[slot] = key
        self._ids[slot], self._given[slot], self._used[slot] = row, given, self._tick
        if slot in self._values:
            self._values[slot] = self._own_values(slot, ad)
        if self._crosses.width:
            tokens, hashes = self._crosses.item_half(ad)
            self._tokens[slot], self._hashes[slot] = tokens, hashes
            self._present[slot] = [token is not None for token in tokens]
        return slot

    def _own_values(self, slot: int, ad: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an ad that was just kept in `slot`."""
        return dict(ad) if self._version is not None else self._given[slot][0]

    def _comparable(self, ad: Mapping[str, Any]) -> Any:
        """What the next request's values are compared with; None where they could change unseen."""
        if self._version is not None:
            return ad.get(self._version)
        values, types = {}, []
        for column in ad:
            value = ad.get(column)
            if isinstance(value, (list, tuple)):
                if not all(isinstance(one, (str, bytes)) for one in value):
                    return None
                value = type(value)(value)  # The caller may change its own.
            elif not isinstance(value, _SIMPLE):
                return None
            elif not isinstance(value, (str, bytes)) and value in (0, 1):
                types.append((column, type(value)))  # 1 and True are equal, their rows are not.
            values[column] = value
        return values, tuple(types)

    def _slot(self) -> int | None:
        if not self._free and len(self._keys) < self.capacity:
            self._keys.append(None)
            self._given.append(None)
            return len(self._keys) - 1
        if not self._free:
            movable = np.flatnonzero(~self._pinned & (self._used < self._tick))
            if not len(movable):
                return None
            count = min(len(movable), max(1, self.capacity // AT_ONCE))
            for slot in movable[np.argpartition(self._used[movable], count - 1)[:count]].tolist():
                del self._slots[self._keys[slot]]
                self._release(slot)
        return self._free.pop()

    def _release(self, slot: int) -> None:
        self._keys[slot] = self._given[slot] = None
        self._pinned[slot] = False
        self._values.pop(slot, None)
        self._tokens[slot] = None
        self._free.append(slot)
