"""Where fields lie in `ids` and in a fused table: the plain numbers that a layer keeps of a feature index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ctrkit.errors import ConfigError, ShapeError, did_you_mean

MISSING_ROW = 0  # Missing values and padding, as in the feature index.
OOV_ROW = 1  # First out-of-vocabulary row, as in the feature index.
MOST_ROWS = 2**31 - 1  # Of a fused table: rows are int32.


class FieldLike(Protocol):
    """What layers read of `ctrkit.indexing.Field`."""

    @property
    def name(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def table(self) -> str: ...


class IndexLike(Protocol):
    """What layers read of `ctrkit.indexing.FeatureIndex`."""

    @property
    def fields(self) -> Sequence[Any]: ...  # Of `FieldLike`; a tuple of another class is no tuple of a protocol.
    @property
    def width(self) -> int: ...
    @property
    def user_width(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Place:
    """One field's columns in the ids of its side, and its first row in the fused table."""

    name: str
    start: int
    length: int
    offset: int
    pooled: bool  # A sequence: its columns are averaged into one vector.


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """A fused table: all rows of all distinct tables (or fields) one after another, and who reads where.

    `user` holds the places of user and context fields in `user_ids`, `item` those of the others in `item_ids`.
    """

    rows: int
    user: tuple[Place, ...]
    item: tuple[Place, ...]

    @classmethod
    def of(cls, index: IndexLike, fields: Iterable[str] | None = None, *, shared: bool = True) -> TableLayout:
        """Lay out the named `fields` (all when None) of an index; those of one table share rows, unless told not to.

        Raises `ConfigError` on an unknown or doubled name, `ShapeError` when the rows do not fit into int32.
        """
        chosen = _chosen(index, fields)
        offsets: dict[str, int] = {}
        rows = 0
        for field in chosen:
            owner = field.table if shared else field.name
            if owner not in offsets:
                offsets[owner] = rows
                rows += field.rows
        if rows > MOST_ROWS:
            raise ShapeError(
                f"A fused table of {rows:,} rows has more than int32 can number ({MOST_ROWS:,}). Give `fields=[…]` to "
                "several smaller FieldEmbeddings, or lower `max_size` or `buckets` in the schema."
            )
        sides: dict[bool, list[Place]] = {True: [], False: []}
        for field in chosen:
            of_item = field.side == "item"
            sides[of_item].append(
                Place(
                    name=field.name,
                    start=field.start - (index.user_width if of_item else 0),
                    length=field.length,
                    offset=offsets[field.table if shared else field.name],
                    pooled=is_sequence(field),
                )
            )
        return cls(rows=rows, user=tuple(sides[False]), item=tuple(sides[True]))

    def to_config(self) -> dict[str, Any]:
        """As JSON values; `from_config` of it is equal to `self`."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TableLayout:
        """Read what `to_config` wrote."""
        sides = {side: tuple(Place(**place) for place in config[side]) for side in ("user", "item")}
        return cls(rows=config["rows"], **sides)


def is_sequence(field: FieldLike) -> bool:
    """True for a field whose columns are a list of values; it reads the table of another field."""
    return field.length > 1 or field.table != field.name


def _chosen(index: IndexLike, names: Iterable[str] | None) -> list[FieldLike]:
    if names is None:
        return list(index.fields)
    wanted = [names] if isinstance(names, str) else list(names)
    by_name = {field.name: field for field in index.fields}
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"FieldEmbeddings: no feature {name!r} in the index.{did_you_mean(name, by_name)}")
    if len(set(wanted)) != len(wanted) or not wanted:
        raise ConfigError(f"FieldEmbeddings: `fields` must name at least one feature, each once; got {wanted}.")
    return [field for field in index.fields if field.name in set(wanted)]  # In the order of `ids`.
