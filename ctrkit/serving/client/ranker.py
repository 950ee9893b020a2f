"""Raw values of a request to ids, by one feature index."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.errors import ArtifactError, RequestError, did_you_mean
from ctrkit.indexing import FeatureIndex
from ctrkit.schema import column_of
from ctrkit.serving.client.ad_rows import AdRows
from ctrkit.serving.client.ads import ROWS, Ad
from ctrkit.serving.versions import INDEX_DIRECTORY, versions_of

READ_THROUGH = 64 << 20  # Bytes of an index that are compared with their digests; a larger one is mapped unread.


class Ranker:
    """What a client knows under one index: compiled lookups and the ids of ads."""

    def __init__(
        self,
        index: FeatureIndex,
        *,
        strict: bool = True,
        ad_key: str | None = None,
        ad_version: str | None = None,
        ad_rows: int = ROWS,
    ) -> None:
        self.index, self._strict = index, strict
        self.ads = AdRows(index, ad_key, version=ad_version, rows=ad_rows)
        self._known = frozenset({*index.schema.columns, *([] if ad_version is None else [ad_version])})
        self._user_row = index.lookup.compiled(index.user_fields)

    def ids(
        self, user: Mapping[str, Any], context: Mapping[str, Any], ads: Sequence[Ad]
    ) -> tuple[np.ndarray, np.ndarray]:
        """`user_ids` int32 `[1, user_width]` and `item_ids` int32 `[n, item_width]`. Raises `RequestError`."""
        person = self._merged(user, context)
        user_ids = np.array([self._user_row(person)], dtype=np.int32)
        return user_ids, self.ads.ids(person, ads, self._check_ad)

    def remember(self, ads: Sequence[Mapping[str, Any]]) -> int:
        """See `AdRows.remember`."""
        return self.ads.remember(ads, self._check_ad)

    def checked(self, ids: np.ndarray) -> np.ndarray:
        """`ids` as int32 `[n, width]`. Raises `RequestError` naming the field of an id out of range."""
        ids, index = np.asarray(ids), self.index
        if ids.ndim != 2 or ids.shape[1] != index.width or ids.dtype.kind not in "iu":
            raise RequestError(
                f"`ids` is {ids.dtype} {list(ids.shape)}, expected int32 [n, {index.width}]: one column for "
                "each of the index. Make it with `client.index.ids(impressions)`."
            )
        outside = (ids < 0) | (ids >= index.rows_per_column)
        if outside.any():
            row, column = (int(i) for i in np.argwhere(outside)[0])
            field = next(f for f in index.fields if f.start <= column < f.start + f.length)
            raise RequestError(
                f"`ids`, row {row}: field {field.name!r} got id {int(ids[row, column])}, expected 0 to "
                f"{field.rows - 1}. Make ids with `client.index.ids(impressions)`."
            )
        return ids.astype(np.int32, copy=False)

    def _merged(self, user: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
        self._check_keys(user, "user")
        self._check_keys(context, "context")
        if not user.keys().isdisjoint(context):
            for name in context:
                if name in user and user[name] != context[name]:
                    raise RequestError(
                        f"Column {name!r} is {user[name]!r} in `user` and {context[name]!r} in `context`. Give it once."
                    )
        return {**context, **user}

    def _check_ad(self, ad: Any) -> None:
        self._check_keys(ad, "ads")

    def _check_keys(self, given: Any, where: str) -> None:
        if not isinstance(given, Mapping):
            hint = ""
            if where == "ads" and self.ads.key is None:
                hint = " To send ids of ads alone, open the client with ad_key=COLUMN."
            raise RequestError(
                f"`{where}` holds {type(given).__name__} {given!r}, expected a mapping from column names to raw "
                f"values.{hint}"
            )
        if self._strict and not given.keys() <= self._known:
            name = next(iter(given.keys() - self._known))
            columns = [column_of(field.feature) for field in self.index.fields]
            raise RequestError(
                f"`{where}`: {name!r} is no column that the model knows."
                f"{did_you_mean(name, [column for column in columns if column])} "
                "To send columns that no feature reads, open the client with strict=False."
            )


def load_index(path: str | os.PathLike[str]) -> FeatureIndex:
    """The feature index at `path`: an index, a SavedModel with one inside, or a directory of versions of those.

    It is memory-mapped. Raises `ArtifactError`.
    """
    path = Path(path)
    if (path / "index.json").is_file():
        return _load(path)
    versions = versions_of(path)
    if not versions:
        raise ArtifactError(
            f"No feature index and no SavedModel at {path}. Name the directory that `ctrkit export` wrote."
        )
    saved_model = next(reversed(versions.values()))
    if not (saved_model / INDEX_DIRECTORY).is_dir():
        raise ArtifactError(
            f"SavedModel {saved_model} has no feature index ({INDEX_DIRECTORY}), so raw values cannot be matched to "
            "its rows. Export it with `ctrkit export`."
        )
    return _load(saved_model / INDEX_DIRECTORY)


def _load(path: Path) -> FeatureIndex:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return FeatureIndex.load(path, verify=size <= READ_THROUGH)
