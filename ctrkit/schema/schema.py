"""Declare a click log: its format, its label and the features a model sees; read from and written to YAML."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctrkit.errors import SchemaError, did_you_mean
from ctrkit.schema.features import KINDS, SIDES, Categorical, Cross, Feature, Hashed, Sequence
from ctrkit.schema.label import Label

FORMATS = ("tsv", "csv", "parquet", "tfrecord")
TEXT_FORMATS = ("tsv", "csv")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True, kw_only=True)
class LogFormat:
    """How the raw log is laid out; `.gz` is recognised by the file's name."""

    kind: str = "csv"
    columns: tuple[str, ...] | None = (
        None  # Names for a text log without a header line; None: the first line names them.
    )
    separator: str | None = None  # One byte; by default a comma (csv) or a tab (tsv).
    missing: tuple[str, ...] = ("",)  # Spellings that mean "no value"; an empty string always does.

    def __post_init__(self) -> None:
        if self.kind not in FORMATS:
            raise SchemaError(f"Unknown log format {self.kind!r}.{did_you_mean(self.kind, FORMATS)}")
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(expand_names(self.columns)))
        missing = self.missing if isinstance(self.missing, (list, tuple)) else (self.missing,)
        if any(spelling is None or isinstance(spelling, bool) for spelling in missing):
            raise SchemaError(
                f"`missing` takes spellings as they stand in the log, got {list(missing)}. Quote them: ['NO']."
            )
        object.__setattr__(self, "missing", tuple(dict.fromkeys(("", *map(str, missing)))))
        if self.separator is None and self.kind in TEXT_FORMATS:
            object.__setattr__(self, "separator", "\t" if self.kind == "tsv" else ",")
        if self.separator is not None and (not isinstance(self.separator, str) or len(self.separator.encode()) != 1):
            raise SchemaError(f"`separator` is {self.separator!r}, expected one ASCII character such as ';'.")

    def of_kind(self, kind: str) -> LogFormat:
        """The same spellings of missing values and names of columns, in another kind of file."""
        if kind == self.kind:
            return self
        text = kind in TEXT_FORMATS
        return LogFormat(kind=kind, columns=self.columns if text else None, missing=self.missing)


@dataclass(frozen=True, kw_only=True)
class Schema:
    """What a log means to a model.

    `features` keep their order within a side; `ids` lay out user, then context, then item features.
    """

    label: Label
    features: tuple[Feature, ...]
    format: LogFormat = field(default_factory=LogFormat)
    weight: str | None = None  # Column with a non-negative weight of the row in the loss and in the metrics.
    group: str | None = None  # Column to group by for grouped AUC, usually the user.
    time: str | None = None  # Column to order rows by for a split by time; a number or a sortable string.

    def __post_init__(self) -> None:
        if isinstance(self.label, str):
            object.__setattr__(self, "label", Label.parse(self.label))
        object.__setattr__(self, "features", tuple(self.features))
        if not self.features:
            raise SchemaError("The schema has no features. Add at least one, e.g. `user_id: {kind: categorical}`.")
        seen: dict[str, Feature] = {}
        for feature in self.features:
            if feature.name in seen:
                raise SchemaError(f"Feature {feature.name!r} is declared twice.")
            seen[feature.name] = feature
        for feature in self.features:
            self._check_references(feature, seen)

    def _check_references(self, feature: Feature, known: Mapping[str, Feature]) -> None:
        parts = feature.of if isinstance(feature, Cross) else (feature.of,) if isinstance(feature, Sequence) else ()
        for part in parts:
            if part not in known:
                raise SchemaError(
                    f"Feature {feature.name!r} refers to {part!r}, which is not declared.{did_you_mean(part, known)}"
                )
            if isinstance(feature, Sequence) and not isinstance(known[part], (Categorical, Hashed)):
                raise SchemaError(
                    f"Feature {feature.name!r}: a sequence shares the rows of a categorical or hashed feature, "
                    f"but {part!r} is {known[part].kind}."
                )
            if isinstance(feature, Cross) and isinstance(known[part], (Cross, Sequence)):
                raise SchemaError(
                    f"Feature {feature.name!r}: a cross combines categorical, hashed and numeric features, "
                    f"but {part!r} is {known[part].kind}."
                )

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise SchemaError(f"No feature {name!r} in the schema.{did_you_mean(name, [f.name for f in self.features])}")

    @property
    def ordered(self) -> tuple[Feature, ...]:
        """Features in the order of the columns of `ids`: by side, then as declared."""
        return tuple(sorted(self.features, key=lambda feature: SIDES.index(feature.side)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The log's columns that are read, each once: label, weight, group, time, then features."""
        names = [self.label.column, self.weight, self.group, self.time]
        names += [column_of(feature) for feature in self.features]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    # --- YAML ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Schema:
        """Build from the YAML form; `SchemaError` refuses unknown words with the nearest valid one."""
        _refuse_unknown(raw, [f.name for f in dataclasses.fields(cls)], where="The schema")
        for needed in ("label", "features"):
            if not raw.get(needed):
                raise SchemaError(f"The schema lacks `{needed}:`.")
        log_format = raw.get("format") or {}
        if isinstance(log_format, str):
            log_format = {"kind": log_format}
        _refuse_unknown(log_format, [f.name for f in dataclasses.fields(LogFormat)], where="`format`")
        if not isinstance(raw["features"], Mapping):
            raise SchemaError(
                f"`features` holds {type(raw['features']).__name__}, expected a mapping, e.g. "
                "`user_id: {kind: categorical}`."
            )
        features: list[Feature] = []
        for name, options in raw["features"].items():
            features += _features(str(name), options)
        return cls(
            label=raw["label"] if isinstance(raw["label"], Label) else Label.parse(str(raw["label"])),
            features=tuple(features),
            format=LogFormat(**{key: _tuple(value) for key, value in log_format.items()}),
            weight=raw.get("weight"),
            group=raw.get("group"),
            time=raw.get("time"),
        )

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Schema:
        """Read a schema file. Raises `SchemaError` naming the file."""
        import yaml  # An index holds its schema as JSON: to read one, as clients do, goes without.

        from ctrkit.schema.no_duplicates import NoDuplicates

        try:
            raw = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=NoDuplicates)
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise SchemaError(f"Cannot read schema {path}: {error}") from error
        if not isinstance(raw, Mapping):
            raise SchemaError(
                f"Schema {path} holds {type(raw).__name__}, expected a mapping with `label:` and `features:`."
            )
        try:
            return cls.from_dict(raw)
        except SchemaError as error:
            raise SchemaError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The YAML form; `Schema.from_dict` of it is equal to `self`."""
        features = {}
        for feature in self.features:
            options: dict[str, Any] = {"kind": feature.kind}
            for option in dataclasses.fields(feature):
                value = getattr(feature, option.name)
                if option.name != "name" and value != option.default:
                    options[option.name] = list(value) if isinstance(value, tuple) else value
            features[feature.name] = options
        log_format = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self.format).items()}
        whole = {"format": log_format, "label": str(self.label), "weight": self.weight, "group": self.group}
        return {k: v for k, v in {**whole, "time": self.time, "features": features}.items() if v is not None}


def column_of(feature: Feature) -> str | None:
    """The log's column that `feature` reads; None for a cross, which reads other features."""
    if isinstance(feature, Cross):
        return None
    column: str | None = getattr(feature, "column", None)
    return feature.name if column is None else column


def expand_names(names: Any) -> list[str]:
    """Expand ranges: `["label", "I{1..3}"]` is `["label", "I1", "I2", "I3"]`."""
    expanded: list[str] = []
    for name in names:
        found = _RANGE.search(str(name))
        if found is None:
            expanded.append(str(name))
        else:
            first, last = int(found[1]), int(found[2])
            expanded += [_RANGE.sub(str(i), str(name), count=1) for i in range(first, last + 1)]
    return expanded


def _features(name: str, options: Any) -> list[Feature]:
    if isinstance(options, str):
        options = {"kind": options}
    if not isinstance(options, Mapping) or "kind" not in options:
        raise SchemaError(f"Feature {name!r} has no `kind`. Write e.g. `{name}: {{kind: categorical}}`.")
    kind = options["kind"]
    if kind not in KINDS:
        raise SchemaError(f"Feature {name!r}: unknown kind {kind!r}.{did_you_mean(str(kind), KINDS)}")
    cls = KINDS[kind]
    known = [f.name for f in dataclasses.fields(cls) if f.name != "name"]
    _refuse_unknown({k: v for k, v in options.items() if k != "kind"}, known, where=f"Feature {name!r} ({kind})")
    arguments = {key: _tuple(value) for key, value in options.items() if key != "kind"}
    names = expand_names([name])
    if len(names) > 1 and "column" in arguments:
        columns = expand_names([arguments["column"]])
        if len(columns) != len(names):
            raise SchemaError(
                f"Feature {name!r} stands for {len(names)} features, `column` for {len(columns)} columns."
            )
        return [_build(cls, one, {**arguments, "column": c}) for one, c in zip(names, columns, strict=True)]
    return [_build(cls, one, arguments) for one in names]


def _build(cls: type[Feature], name: str, arguments: Mapping[str, Any]) -> Feature:
    try:
        return cls(name=name, **arguments)
    except TypeError as error:
        missing = [
            f.name
            for f in dataclasses.fields(cls)
            if f.default is dataclasses.MISSING and f.name != "name" and f.name not in arguments
        ]
        if not missing:
            raise SchemaError(f"Feature {name!r}: {error}") from error
        raise SchemaError(
            f"Feature {name!r}: a {cls.kind} feature needs {', '.join(f'`{m}`' for m in missing)}."
        ) from None


def _refuse_unknown(raw: Mapping[str, Any], known: list[str], *, where: str) -> None:
    for word in raw:
        if word not in known:
            raise SchemaError(f"{where}: unknown option {word!r}.{did_you_mean(str(word), known)}")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
