"""Raw values to integer rows: the artifact that training, serving and clients share. Needs numpy alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.atomic import atomic_directory
from ctrkit.errors import ArtifactError, SchemaError, did_you_mean
from ctrkit.indexing.ancestor import Ancestor
from ctrkit.indexing.field import Field
from ctrkit.indexing.lookup import RowLookup
from ctrkit.indexing.vocabulary import Vocabulary
from ctrkit.schema import Categorical, Cross, Feature, Hashed, Numeric, Schema
from ctrkit.schema import Sequence as SequenceFeature

FORMAT_VERSION = 1
INDEX_FILE = "index.json"


class FeatureIndex:
    """The learned mapping from a raw impression to `ids`, `int32 [width]`.

    Columns come by side: user, then context, then item; so `ids` is `user_ids` (user and context) followed by
    `item_ids`.
    """

    def __init__(
        self,
        schema: Schema,
        vocabularies: Mapping[str, Vocabulary],
        boundaries: Mapping[str, Sequence[float]],
        statistics: Mapping[str, Any] | None = None,
        ancestors: Sequence[Ancestor] = (),
    ) -> None:
        self.schema = schema
        self.vocabularies = dict(vocabularies)
        self.boundaries = {name: tuple(float(b) for b in cuts) for name, cuts in boundaries.items()}
        self.statistics = dict(statistics or {})  # Facts for people (rows seen, distinct values, …); no effect on rows.
        self.ancestors = tuple(ancestors)  # The indexes that this one extends, its parent first.
        self.fields = self._lay_out()

    def _lay_out(self) -> tuple[Field, ...]:
        fields, start = [], 0
        for feature in self.schema.ordered:
            shared = self.schema[feature.of] if isinstance(feature, SequenceFeature) else feature
            length = feature.max_length if isinstance(feature, SequenceFeature) else 1
            rows, oov = self._size(shared)
            fields.append(
                Field(
                    feature=feature,
                    rows=rows,
                    oov=oov,
                    start=start,
                    length=length,
                    table=shared.name,
                    boundaries=self.boundaries.get(feature.name, ()),
                )
            )
            start += length
        return tuple(fields)

    def _size(self, feature: Feature) -> tuple[int, int]:
        if isinstance(feature, Hashed):
            return 2 + feature.buckets, 1
        if isinstance(feature, Numeric):
            if feature.name not in self.boundaries:
                raise ArtifactError(f"The index has no boundaries for numeric feature {feature.name!r}.")
            return 2 + len(self.boundaries[feature.name]) + 1, 1
        if isinstance(feature, Cross) and feature.buckets is not None:
            return 2 + feature.buckets, 1
        assert isinstance(feature, (Categorical, Cross))
        if feature.name not in self.vocabularies:
            raise ArtifactError(f"The index has no vocabulary for feature {feature.name!r}.")
        return 1 + feature.oov + len(self.vocabularies[feature.name]), feature.oov

    # --- shape --------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Columns of `ids`."""
        return sum(field.length for field in self.fields)

    @property
    def user_width(self) -> int:
        """Leading columns of `ids` that belong to the user and the context."""
        return sum(field.length for field in self.fields if field.side != "item")

    @property
    def item_width(self) -> int:
        """Trailing columns of `ids` that belong to the candidate."""
        return self.width - self.user_width

    def __getitem__(self, name: str) -> Field:
        found = self._by_name.get(name)
        if found is None:
            raise SchemaError(f"No feature {name!r} in the index.{did_you_mean(name, self._by_name)}")
        return found

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def rows_per_column(self) -> np.ndarray:
        """`int32 [width]`: the number of rows of the feature that each column of `ids` holds."""
        return np.concatenate([np.full(f.length, f.rows, dtype=np.int32) for f in self.fields])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that changes the meaning of a row: fields, layout, boundaries, vocabularies."""
        canonical = json.dumps(self._meaning(), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def parent(self) -> str | None:
        """Fingerprint of the index that this one extends; None where it was learned from one log."""
        return self.ancestors[0].fingerprint if self.ancestors else None

    def ancestor(self, fingerprint: str) -> Ancestor | None:
        """What is remembered of an index that this one extends, over however many extensions; else None."""
        return next((one for one in self.ancestors if one.fingerprint == fingerprint), None)

    def as_ancestor(self) -> Ancestor:
        """What an extension of this index remembers of it."""
        rows = {field.table: field.rows for field in self.fields}
        return Ancestor(fingerprint=self.fingerprint, rows=rows)

    def _meaning(self) -> dict[str, Any]:
        described = {**self.schema.to_dict()}
        features = described["features"]
        return {
            "format_version": FORMAT_VERSION,
            "missing": list(self.schema.format.missing),
            "fields": [[f.name, features[f.name], f.start, f.length, f.rows, f.table] for f in self.fields],
            "boundaries": {name: [b.hex() for b in cuts] for name, cuts in self.boundaries.items()},
            "vocabularies": {name: vocabulary.digest() for name, vocabulary in self.vocabularies.items()},
        }

    # --- raw values -> rows, one impression at a time (the engines do whole columns) ------------------------------

    def ids(self, impressions: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Index impressions given as mappings from the log's column names to raw values.

        Returns `int32 [n, width]`. A column that is absent is missing; a column that no feature reads is ignored.
        Raises `RequestError` naming the field of a value that cannot be read.
        """
        return self.ids_of(impressions, self.fields)

    def ids_of(self, impressions: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> np.ndarray:
        """Like `ids`, for some fields only: `int32 [n, sum of their lengths]` in the given order."""
        return self.lookup.ids_of(impressions, fields)

    @cached_property
    def lookup(self) -> RowLookup:
        """Rows of raw values one by one."""
        return RowLookup(self.schema, self.fields, self.vocabularies)

    @cached_property
    def user_fields(self) -> tuple[Field, ...]:
        """Fields of the user and of the context, in the order of `user_ids`."""
        return tuple(field for field in self.fields if field.side != "item")

    @cached_property
    def item_fields(self) -> tuple[Field, ...]:
        """Fields of the candidate, in the order of `item_ids`."""
        return tuple(field for field in self.fields if field.side == "item")

    # --- artifact -----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the artifact directory, atomically."""
        with atomic_directory(path) as temporary:
            (temporary / "vocabulary").mkdir()
            for name, vocabulary in self.vocabularies.items():
                vocabulary.save(temporary / "vocabulary" / f"{name}.vocab")
            description = {
                "format_version": FORMAT_VERSION,
                "fingerprint": self.fingerprint,
                "width": self.width,
                "user_width": self.user_width,
                "rows": {field.name: field.rows for field in self.fields},
                "schema": self.schema.to_dict(),
                "boundaries": {name: [b.hex() for b in cuts] for name, cuts in self.boundaries.items()},
                "vocabularies": {name: len(v) for name, v in self.vocabularies.items()},
                "statistics": self.statistics,
                "ancestors": [ancestor.to_dict() for ancestor in self.ancestors],
            }
            text = json.dumps(description, indent=2, ensure_ascii=False)
            (temporary / INDEX_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = True) -> FeatureIndex:
        """Read an artifact directory; vocabularies are memory-mapped.

        With `verify` every byte is read and compared with its digest; without, the digests that the files carry are
        compared with the fingerprint. Raises `ArtifactError`.
        """
        path = Path(path)
        again = "Make it again with `ctrkit prepare`."
        if not (path / INDEX_FILE).is_file():
            raise ArtifactError(f"No feature index at {path} (no {INDEX_FILE}). Make one with `ctrkit prepare`.")
        try:
            description = json.loads((path / INDEX_FILE).read_text(encoding="utf-8"))
            version = description["format_version"]
            if version != FORMAT_VERSION:
                raise ArtifactError(
                    f"Index {path} has format version {version}, this ctrkit reads {FORMAT_VERSION}. {again}"
                )
            index = cls(
                Schema.from_dict(description["schema"]),
                {
                    name: Vocabulary.load(path / "vocabulary" / f"{name}.vocab", verify=verify)
                    for name in description["vocabularies"]
                },
                {name: [float.fromhex(b) for b in cuts] for name, cuts in description["boundaries"].items()},
                description["statistics"],
                [Ancestor.from_dict(one) for one in description.get("ancestors", [])],
            )
            stamped = str(description["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"Cannot read {path / INDEX_FILE}: {error}. {again}") from error
        if index.fingerprint != stamped:
            raise ArtifactError(
                f"Index {path} says fingerprint {stamped[:12]}, its content has "
                f"{index.fingerprint[:12]}: it was changed after it was written. {again}"
            )
        return index
