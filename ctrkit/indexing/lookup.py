"""One raw value to its row, in plain Python: what requests use, and what whole columns are tested against."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from ctrkit.errors import RequestError
from ctrkit.indexing.field import MISSING_ROW, OOV_ROW, Field
from ctrkit.indexing.hashing import combine, hash64
from ctrkit.indexing.vocabulary import Vocabulary
from ctrkit.schema import Cross, Hashed, Numeric, Schema, column_of
from ctrkit.schema import Sequence as SequenceFeature

CROSS_SEPARATOR = "\x1f"  # Between the parts of a cross in its vocabulary (ASCII's own unit separator).
REMEMBERED = 1 << 12  # Values a field; with 100 fields the memory of them stays below some 50 MB.


class RowLookup:
    """The rows of raw values under some fields and vocabularies."""

    def __init__(self, schema: Schema, fields: Sequence[Field], vocabularies: Mapping[str, Vocabulary]) -> None:
        self._schema, self._vocabularies = schema, vocabularies
        self._fields = {field.name: field for field in fields}
        self._missing, self._missing_numbers = frozenset(schema.format.missing), missing_numbers(schema)

    def ids_of(self, impressions: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> np.ndarray:
        """See `FeatureIndex.ids_of`."""
        row_of, width = self.compiled(fields), sum(field.length for field in fields)
        return np.array([row_of(impression) for impression in impressions], dtype=np.int32).reshape(-1, width)

    def compiled(self, fields: Sequence[Field]) -> Callable[[Mapping[str, Any]], list[int]]:
        """A function from an impression to its ids under `fields`, with all that is constant decided beforehand."""
        plan = [self._step(field) for field in fields]

        def row_of(impression: Mapping[str, Any]) -> list[int]:
            get, ids = impression.get, []
            for column, strings, integers, read in plan:
                if column is None:
                    ids += read(impression)
                    continue
                value = get(column)
                if value is None:
                    ids.append(MISSING_ROW)
                    continue
                row = strings.get(value) if type(value) is str else integers.get(value) if type(value) is int else None
                ids.append(read(value) if row is None else row)
            return ids

        return row_of

    def _step(self, field: Field) -> tuple[str | None, dict[str, int], dict[int, int], Callable[[Any], Any]]:
        """Column, remembered strings, remembered integers, and the row of a value; or None and rows of a mapping."""
        if isinstance(field.feature, SequenceFeature):
            return None, {}, {}, partial(self._sequence_rows, field)
        if isinstance(field.feature, Cross):
            return None, {}, {}, lambda impression: [self._cross_row(field, impression)]
        return column_of(field.feature), *self._known[field.name], self._remembering(field)

    def _remembering(self, field: Field) -> Callable[[Any], int]:
        """The row of a value; strings and integers are remembered: a request asks for thousands."""
        row_of = self._numeric_row if isinstance(field.feature, Numeric) else self._token_row
        strings, integers = self._known[field.name]

        def remember(value: Any) -> int:
            row = row_of(field, value)
            known: dict[Any, int] | None = strings if type(value) is str else integers if type(value) is int else None
            if known is not None:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[value] = row
            return row

        return remember

    @cached_property
    def _known(self) -> dict[str, tuple[dict[str, int], dict[int, int]]]:
        return {field.name: ({}, {}) for field in self._fields.values()}

    def token(self, value: Any, field: Field) -> str | None:
        """The canonical string of a raw value, None when it is missing. A whole float is spelled as an integer.

        Raises `RequestError` for what is neither a string, bytes of UTF-8 nor a number.
        """
        if value is None:
            return None
        if isinstance(value, bytes):
            value = _decoded(value, field)
        if isinstance(value, str):
            if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise RequestError(f"Field {field.name!r}: {value!r} holds half a surrogate pair, expected Unicode.")
            return None if value in self._missing else value
        if isinstance(value, (bool, np.bool_)):
            return "true" if value else "false"
        if isinstance(value, (float, np.floating)):
            if math.isnan(value):
                return None
            spelled = str(int(value)) if float(value).is_integer() else str(float(value))
        elif isinstance(value, (int, np.integer)):
            spelled = str(int(value))
        else:
            raise RequestError(
                f"Field {field.name!r}: got {type(value).__name__} {value!r}, expected a string, a number or None."
            )
        return None if spelled in self._missing else spelled

    def _token_row(self, field: Field, value: Any) -> int:
        token = self.token(value, field)
        return MISSING_ROW if token is None else self.row_of_token(field, token)

    def row_of_token(self, field: Field, token: str) -> int:
        """Row of a present value of a categorical, hashed or (joined by `CROSS_SEPARATOR`) cross feature."""
        owner = self._fields[field.table].feature
        if isinstance(owner, Hashed):
            return 2 + hash64(token) % owner.buckets
        rank = self._vocabularies[owner.name].finder(token)
        if rank >= 0:
            return 1 + field.oov + rank
        return OOV_ROW if field.oov == 1 else OOV_ROW + hash64(token) % field.oov

    def _numeric_row(self, field: Field, value: Any) -> int:
        if isinstance(value, bytes):
            value = _decoded(value, field)
        if value is None or (isinstance(value, str) and value in self._missing):
            return MISSING_ROW
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestError(f"Field {field.name!r}: got {value!r}, expected a number or None.") from error
        if math.isnan(number) or number in self._missing_numbers:
            return MISSING_ROW
        return 2 + bisect_right(field.boundaries, number)

    def part_token(self, part: str, impression: Mapping[str, Any]) -> str | None:
        """What feature `part` brings into a cross: a token, a number's row spelled out, None where it is missing."""
        field = self._fields[part]
        value = impression.get(column_of(field.feature))  # type: ignore[arg-type]
        if isinstance(field.feature, Numeric):
            row = self._numeric_row(field, value)
            return None if row == MISSING_ROW else str(row)
        return self.token(value, field)

    def _cross_row(self, field: Field, impression: Mapping[str, Any]) -> int:
        feature = field.feature
        assert isinstance(feature, Cross)
        tokens = []
        for part in feature.of:
            token = self.part_token(part, impression)
            if token is None:
                return MISSING_ROW
            tokens.append(token)
        if feature.buckets is not None:
            return 2 + combine([hash64(token) for token in tokens]) % feature.buckets
        return self.row_of_token(field, CROSS_SEPARATOR.join(tokens))

    def _sequence_rows(self, field: Field, impression: Mapping[str, Any]) -> list[int]:
        feature = field.feature
        assert isinstance(feature, SequenceFeature)
        value = impression.get(column_of(feature))  # type: ignore[arg-type]
        if value is None:
            return [MISSING_ROW] * field.length
        if isinstance(value, bytes):
            value = _decoded(value, field)
        if isinstance(value, str):
            value = value.split(feature.separator) if value not in self._missing else []
        elif isinstance(value, Mapping) or not hasattr(value, "__iter__"):
            raise RequestError(f"Field {field.name!r}: got {value!r}, expected a list of values or a joined string.")
        (strings, integers), read = self._known[field.name], self._remembering(field)
        rows = []
        for one in value:
            row = strings.get(one) if type(one) is str else integers.get(one) if type(one) is int else None
            rows.append(read(one) if row is None else row)
        present = [row for row in rows if row != MISSING_ROW][-feature.max_length :]
        return present + [MISSING_ROW] * (field.length - len(present))


def missing_numbers(schema: Schema) -> frozenset[float]:
    """The schema's spellings of "no value" that are numbers, such as -1: equal numbers are missing however spelled."""
    found = set()
    for spelling in schema.format.missing:
        try:
            found.add(float(spelling))
        except ValueError:
            continue
    return frozenset(number for number in found if not math.isnan(number))


def _decoded(value: bytes, field: Field) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"Field {field.name!r}: {value!r} is not UTF-8 ({error.reason}).") from error
