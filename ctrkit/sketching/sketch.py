"""From a log that nobody has described to a schema that can be trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from ctrkit.errors import SchemaError, did_you_mean
from ctrkit.records.log import Sources, log_files
from ctrkit.schema import Label, LogFormat, Schema
from ctrkit.sketching.facts import Facts, missing_spellings
from ctrkit.sketching.kinds import HASH_BUCKETS, Choice, choose
from ctrkit.sketching.label import FoundLabel, find_label, labels_of
from ctrkit.sketching.layout import Layout, guess_layout
from ctrkit.sketching.lists import Several, several_in
from ctrkit.sketching.moments import Moment, moment_of
from ctrkit.sketching.names import WEIGHT, feature_name
from ctrkit.sketching.sample import Sample, read_sample
from ctrkit.sketching.sides import UNKNOWN, Owners, find_group, find_owners
from ctrkit.sketching.text import Line, schema_text


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A schema and the text that explains it."""

    schema: Schema
    text: str  # YAML, with the reason of each choice as a comment.
    rows: int  # Of the log.
    click_rate: float  # Of the rows looked at.
    left_out: dict[str, str]  # Column -> why it is no feature.


def sketch_schema(
    sources: Sources, *, label: str | None = None, group: str | None = None, time: str | None = None
) -> Sketch:
    """Look at a log and sketch its schema; what is given is not guessed.

    The log is read once, in bounded memory; what is counted is counted on an even sample of its rows.

    Args:
      sources: files, patterns or folders: CSV, TSV or another separator, also gzip-compressed, or Parquet.
      label: a column or a rule such as `rating >= 4`.
      group: a column, usually the user's id.
      time: a column to split by.

    Raises:
      LogError: the files are no table, or no column looks like a label.
      SchemaError: a column that was given is not there.
      ArtifactError: a file is not there.
    """
    files = log_files(sources)
    layout = guess_layout(files[0])
    sample = read_sample(files, layout)
    missing = missing_spellings(sample.frame)
    columns = [_facts(sample, name, missing) for name in sample.frame.columns]
    found = _label(columns, label)
    labels = labels_of(found.label, _of(columns, found.label.column, "label"))
    moment = _time(columns, found, time)
    people = _of(columns, group, "group") if group is not None else find_group(columns)
    weight = next((one for one in columns if one.name.lower() in WEIGHT and one.is_weight), None)
    taken = {found.label.column, moment.column if moment else None, weight.name if weight else None}
    rest = [one for one in columns if one.name not in taken]
    owners = find_owners(rest, people.name if people else None)
    features, out = _features(rest, labels, sample, owners)
    if moment is not None:
        out.insert(0, Line(key=moment.column, value=None, why="the time, which only orders the rows"))
    out += [Line(key=repr(n), value=None, why="a column without a name") for n in layout.columns if not n.strip()]
    out += [Line(key=name, value=None, why="a record: flatten it where the log is written") for name in layout.nested]
    if not features:
        raise SchemaError(f"{files[0]} has no column to learn from: " + "; ".join(f"{o.key}: {o.why}" for o in out))
    roles = [
        Line(key="format", value=_format(layout, missing), why=layout.why),
        Line(key="label", value=str(found.label), why=found.why),
        *_role_lines(people, weight, moment, sample.rows),
    ]
    text = schema_text(_title(files, sample), roles, features, out)
    return Sketch(
        schema=Schema.from_dict(yaml.safe_load(text)),
        text=text,
        rows=sample.rows,
        click_rate=float(labels.mean()),
        left_out={line.key: line.why for line in out},
    )


def _role_lines(people: Facts | None, weight: Facts | None, moment: Moment | None, rows: int) -> list[Line]:
    """`group`, `weight` and `time`, where the log has them."""
    lines: list[Line] = []
    if people is not None:
        each = f"about {people.estimated:,}, {rows / people.estimated:.0f} rows each"
        lines.append(Line(key="group", value=people.name, why=f"who sees it, for grouped AUC: {each}"))
    if weight is not None:
        lines.append(Line(key="weight", value=weight.name, why="of a row in the loss and the metrics, by its name"))
    if moment is not None:
        lines.append(Line(key="time", value=moment.column, why=moment.why))
    return lines


def _facts(sample: Sample, name: str, missing: tuple[str, ...]) -> Facts:
    values = sample.frame[name]
    if missing and values.dtype == pl.String:
        values = values.replace(list(missing), [None] * len(missing))
    return Facts(name, values, sample.scale)


def _of(columns: Sequence[Facts], name: str, role: str) -> Facts:
    for facts in columns:
        if facts.name == name:
            return facts
    raise SchemaError(f"{role}={name}: the log has no such column.{did_you_mean(name, [f.name for f in columns])}")


def _label(columns: Sequence[Facts], given: str | None) -> FoundLabel:
    if given is None:
        return find_label(columns)
    label = Label.parse(given)
    positive = labels_of(label, _of(columns, label.column, "label"))
    return FoundLabel(
        label=label, why=f"as it was given; {positive.mean():.1%} are positive", score=0, share=float(positive.mean())
    )


def _time(columns: Sequence[Facts], label: FoundLabel, given: str | None) -> Moment | None:
    if given is not None:
        return Moment(column=_of(columns, given, "time").name, why="as it was given", score=0)
    found = [moment_of(one) for one in columns if one.name != label.label.column and not one.missing]
    return max((one for one in found if one is not None), key=lambda one: one.score, default=None)


def _features(
    columns: list[Facts], labels: np.ndarray, sample: Sample, owners: Owners
) -> tuple[list[Line], list[Line]]:
    """The features' lines, and those of what was left out."""
    several = {one.name: found for one in columns if (found := several_in(one, columns)) is not None}
    chosen = {
        one.name: choose(one, labels, sample.rows, owner=one in (owners.user, owners.item))
        for one in columns
        if one.name not in several
    }
    by_value = {
        name
        for name, choice in chosen.items()
        if choice.options and choice.options["kind"] in ("categorical", "hashed")
    }
    features: list[Line] = []
    out: list[Line] = []
    names: set[str] = set()
    for one in columns:
        side, seen = owners.side_of(one)
        if one.name in several:
            lines, why = _list_lines(one, several[one.name], by_value)
        else:
            lines, why = _single_line(one, chosen[one.name])
        if not lines:
            out.append(Line(key=one.name, value=None, why=why))
        for name, options, reason in lines:
            unique = _unused(name, names)
            kind = options.pop("kind")
            column = {} if unique == one.name else {"column": one.name}
            value = {"kind": kind, "side": side, **column, **options}
            features.append(Line(key=unique, value=value, why=f"{reason}; {seen}" if seen else reason))
    return features, out


def _single_line(facts: Facts, choice: Choice) -> tuple[list[tuple[str, dict[str, Any], str]], str]:
    if choice.options is None:
        return [], choice.why
    empty = f"; {facts.missing:.0%} empty" if facts.missing >= 0.005 else ""
    return [(feature_name(facts.name), dict(choice.options), choice.why + empty)], ""


def _list_lines(
    facts: Facts, several: Several, by_value: set[str]
) -> tuple[list[tuple[str, dict[str, Any], str]], str]:
    name = feature_name(facts.name)
    about = f"{several.average:.1f} values on average"
    options: dict[str, Any] = {"kind": "sequence", "max_length": several.length}
    if several.separator not in (None, "|"):
        options["separator"] = several.separator
    if several.of in by_value:
        return [(name, {**options, "of": feature_name(str(several.of))}, f"{about}, of those of {several.of}")], ""
    if several.separator is None:
        return [], f"lists whose single values no column holds: add one, and write `{name}: {{kind: sequence, of: IT}}`"
    whole = f"{name}_together"
    buckets = min(HASH_BUCKETS, 1 << max(10, int(4 * several.distinct).bit_length()))
    return [
        (whole, {"kind": "hashed", "buckets": buckets}, f"the values of {facts.name} as one, whose table they share"),
        (name, {**options, "of": whole}, f"{about}, {several.distinct:,} in all"),
    ], ""


def _unused(name: str, names: set[str]) -> str:
    unique, number = name, 1
    while unique in names:
        number += 1
        unique = f"{name}_{number}"
    names.add(unique)
    return unique


def _format(layout: Layout, missing: tuple[str, ...]) -> Any:
    """The shortest way to write it."""
    found: LogFormat = layout.format
    options: dict[str, Any] = {"kind": found.kind}
    if found.columns is not None:
        options["columns"] = [f"column_{{1..{len(found.columns)}}}"]
    if found.separator != {"csv": ",", "tsv": "\t"}.get(found.kind):
        options["separator"] = found.separator
    if missing:
        options["missing"] = list(missing)
    return found.kind if len(options) == 1 else options


def _title(files: list[Path], sample: Sample) -> list[str]:
    name = os.path.basename(files[0]) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    seen = (
        f"all {sample.rows:,}" if sample.frame.height == sample.rows else f"{sample.frame.height:,} of {sample.rows:,}"
    )
    return [
        f"Sketched from {name}, by {seen} rows. Every line is a guess with its reason: mend what is wrong.",
        "Sides: `user` and `context` are sent once in a request, `item` for each candidate. Where nothing told whose a",
        f"column is ({UNKNOWN}), it is the item's, which is never wrong, but dear where it is the user's.",
    ]
