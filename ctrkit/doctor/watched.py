"""What is counted of one feature, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from ctrkit.doctor.counted_values import CELLS, CountedValues
from ctrkit.doctor.single_auc import single_auc
from ctrkit.indexing import OOV_ROW, FeatureIndex
from ctrkit.indexing.columns import token_rows
from ctrkit.indexing.drift import divergence, heaviest
from ctrkit.indexing.hashing import combine_many
from ctrkit.records import targets
from ctrkit.records.chunk import Chunk
from ctrkit.records.coded import Coded, code_lists, code_tokens
from ctrkit.schema import Categorical, Feature, Numeric, Schema, Sequence, column_of

_BINS = 64  # Of a number, about equally full; their edges come from the first chunk that has numbers.
_MOST = np.iinfo(np.uint64).max


class Watched:
    """One feature of the log. Of a sequence the last value of a row counts, but for `oov`, where each does."""

    def __init__(self, feature: Feature, schema: Schema, index: FeatureIndex | None, periods: int, most: int) -> None:
        self.feature, self._schema = feature, schema
        self._known = None
        owner = schema[feature.of] if isinstance(feature, Sequence) else feature
        if index is not None and isinstance(owner, Categorical):
            self._owner, self._known = owner, index.vocabularies[owner.name]
        self._edges: np.ndarray | None = None
        self.values = CountedValues(most)
        self.absent = np.zeros(CELLS, dtype=np.int64)
        self.by_period = {key: np.zeros(periods, dtype=np.int64) for key in _COUNTS}
        self._least = np.full(periods, _MOST, dtype=np.uint64)
        self._greatest = np.zeros(periods, dtype=np.uint64)

    def add(self, chunk: Chunk, cell: np.ndarray, period: np.ndarray) -> np.ndarray:
        """Count a chunk's rows; `cell` is int `[rows]` in `[0, CELLS)`. Returns a hash of each row's value."""
        coded, all_codes, exact = self._coded(chunk)
        codes, n = coded.codes, len(coded.values)
        counts = np.bincount(codes.astype(np.int64) * CELLS + cell, minlength=(n + 1) * CELLS).reshape(n + 1, CELLS)
        self.absent += counts[0]
        hashes = pl.Series(pl.from_arrow(coded.values)).hash(seed=7).to_numpy()
        first = np.full(n + 1, np.iinfo(np.int32).max, dtype=np.int32)
        np.minimum.at(first, codes, period)
        seen = np.flatnonzero(counts[1:].any(axis=1))
        self.values.add(hashes[seen], counts[1:][seen], first[1:][seen])
        self._count_periods(codes, hashes, period)
        self._count_oov(coded, all_codes, period)
        return _folded(np.concatenate([[np.uint64(0)], hashes if exact is None else exact]), all_codes)

    def _coded(self, chunk: Chunk) -> tuple[Coded, np.ndarray, np.ndarray | None]:
        """One value a row; codes `[rows, length]` of all values; and what these codes stand for where not the same."""
        column, schema = str(column_of(self.feature)), self._schema
        reader = f"feature {self.feature.name!r}"
        if isinstance(self.feature, Sequence):
            found = code_lists(chunk.columns[column], self.feature, schema)
            length = (found.codes > 0).sum(axis=1)  # Values come first, padding last.
            last = found.codes[np.arange(len(length)), np.maximum(length - 1, 0)]
            return Coded(codes=last, values=found.values), found.codes, None
        if isinstance(self.feature, Numeric):
            codes, table = targets.read_numbers(chunk, schema, column, reader)
            return self._binned(codes, table), codes[:, None], pl.Series(table[1:]).hash(seed=7).to_numpy()
        found = code_tokens(targets.code_or_explain(chunk, column, reader), schema)
        return found, found.codes[:, None], None

    def _binned(self, codes: np.ndarray, table: np.ndarray) -> Coded:
        """Numbers by their bin; a heavy number has one to itself."""
        present = table[codes]
        present = present[~np.isnan(present)]
        if self._edges is None and len(present):
            self._edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:], method="lower"))
        edges = np.empty(0) if self._edges is None else self._edges
        # An edge is the bin of itself; the numbers between two edges are another one.
        at = np.searchsorted(edges, table, side="left")
        equal = np.zeros(len(table), dtype=bool)
        inside = at < len(edges)
        equal[inside] = edges[at[inside]] == table[inside]
        bins = np.where(np.isnan(table), 0, 1 + 2 * at + equal)
        return Coded(codes=bins[codes].astype(np.int32), values=pa.array(np.arange(2 * len(edges) + 2)))

    def _count_periods(self, codes: np.ndarray, hashes: np.ndarray, period: np.ndarray) -> None:
        periods, found = len(self._least), self.by_period
        found["rows"] += np.bincount(period, minlength=periods)
        found["missing"] += np.bincount(period[codes == 0], minlength=periods)
        place, known = self.values.find(hashes)
        first = np.full(len(hashes) + 1, -1, dtype=np.int32)  # -1: missing, or not in the sample.
        first[1:][known] = self.values.first[place[known]]
        found["tracked"] += np.bincount(period[first[codes] >= 0], minlength=periods)
        found["unseen"] += np.bincount(period[first[codes] == period], minlength=periods)
        whole = np.concatenate([[np.uint64(1)], hashes])[codes]
        order = np.argsort(period, kind="stable")
        there, starts = np.unique(period[order], return_index=True)
        if len(there):
            sorted_hashes = whole[order]
            self._least[there] = np.minimum(self._least[there], np.minimum.reduceat(sorted_hashes, starts))
            self._greatest[there] = np.maximum(self._greatest[there], np.maximum.reduceat(sorted_hashes, starts))

    def _count_oov(self, coded: Coded, codes: np.ndarray, period: np.ndarray) -> None:
        if self._known is None:
            return
        rows = token_rows(self._owner, self._known, coded.values.cast(pa.large_string()))
        unknown = np.zeros(len(rows) + 1, dtype=bool)
        unknown[1:] = (rows >= OOV_ROW) & (rows < OOV_ROW + self._owner.oov)
        periods = len(self._least)
        for key, mask in (("present", codes > 0), ("oov", unknown[codes])):
            self.by_period[key] += np.bincount(period, mask.sum(axis=1), periods).astype(np.int64)

    # --- facts ------------------------------------------------------------------------------------------------------

    def follows_the_calendar(self) -> bool:
        """Whether every period has one value, and another one than the period before mostly: a weekday, a date."""
        there = np.flatnonzero(self._greatest > 0)
        single = self._least[there]
        if len(there) < 3 or (single != self._greatest[there]).any():
            return False
        return bool((single[1:] != single[:-1]).sum() >= len(there) / 2)

    def facts(self, cut: int) -> dict[str, Any]:
        """What was found, as plain values; `cut` is the first period of the later window."""
        cells = self.values.cells.reshape(-1, 2, 2, 2)  # (value, window, half, label)
        absent = self.absent.reshape(2, 2, 2)
        counts = self.by_period
        windows = cells.sum(axis=(2, 3)).astype(np.float64)
        total = float(counts["rows"].sum())
        present = total - float(counts["missing"].sum())
        distinct = self.values.distinct()
        earlier = self.values.distinct(self.values.first < cut)
        is_number = isinstance(self.feature, Numeric)
        later = slice(cut, None)
        periods = len(self._least)
        return {
            "kind": self.feature.kind,
            "rows": int(total),
            "missing": _share(counts["missing"].sum(), total),
            "missing_by_period": _shares(counts["missing"], counts["rows"]),
            "distinct": None if is_number else round(distinct),
            "distinct_is_estimated": self.values.is_sample,
            "constant": bool(present == 0 or (len(self.values.hashes) == 1 and present == total)),
            "unique": None if is_number else _share(distinct, present),
            "calendar": self.follows_the_calendar(),
            "drift": self._drift(windows, absent.sum(axis=(1, 2)), cut),
            "unseen": None if is_number else _share(counts["unseen"][later].sum(), counts["tracked"][later].sum()),
            "unseen_by_period": None if is_number else _shares(counts["unseen"], counts["tracked"]),
            "growth": None if is_number else _share(distinct - earlier, earlier),
            "new_values": None
            if is_number
            else [round(self.values.distinct(self.values.first == place)) for place in range(periods)],
            "auc": single_auc(np.concatenate([absent.sum(axis=0)[None], cells.sum(axis=1)])),
            "oov": _share(counts["oov"].sum(), counts["present"].sum()) if self._known is not None else None,
            "oov_by_period": _shares(counts["oov"], counts["present"]) if self._known is not None else None,
        }

    def _drift(self, windows: np.ndarray, absent: np.ndarray, cut: int) -> float | None:
        rows = self.by_period["rows"] - self.by_period["missing"]
        before, now = heaviest(windows[:, 0], windows[:, 1])
        rest = [float(side.sum()) - float(kept[:-1].sum()) for side, kept in ((rows[:cut], before), (rows[cut:], now))]
        before[-1], now[-1] = rest  # Also values that were left out of the sample.
        found = divergence(np.append(before, absent[0]), np.append(now, absent[1]))
        return None if np.isnan(found) else found


def _folded(hashes: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """One hash of a row's values: `codes` is `[rows, length]` into `hashes`."""
    return combine_many([hashes[column] for column in codes.T]) if codes.shape[1] > 1 else hashes[codes[:, 0]]


_COUNTS = ("rows", "missing", "tracked", "unseen", "present", "oov")


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0


def _shares(parts: np.ndarray, wholes: np.ndarray) -> list[float | None]:
    return [float(part) / float(whole) if whole else None for part, whole in zip(parts, wholes, strict=True)]
