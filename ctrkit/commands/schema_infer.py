"""`ctrkit schema infer`: sketch a schema from a log, with the reason of each choice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ctrkit.atomic import atomic_file
from ctrkit.commands.console import say
from ctrkit.commands.own_words import own_words
from ctrkit.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from ctrkit.sketching import Sketch

KEYS = ("log", "out", "label", "group", "time", "force")


def run(arguments: list[str]) -> None:
    """Write the schema and say what was found."""
    given, files, rest = own_words(arguments, {**dict.fromkeys(KEYS), "force": ("true", "false")})
    if rest:
        key = rest[0].partition("=")[0]
        raise ConfigError(f"ctrkit schema infer takes no {key!r}.{did_you_mean(key, KEYS)}")
    files += [given["log"]] if "log" in given else []
    if not files:
        raise ConfigError("Which log? Type: ctrkit schema infer LOG, e.g. clicks.csv or 'logs/*.parquet'.")
    out = None if given.get("out") == "-" else Path(given.get("out") or f"conf/schema/{name_of(files[0])}.yaml")
    if out is not None and out.exists() and given.get("force") != "true":
        raise ConfigError(f"{out} is there already, and may be mended by hand. Type another out=FILE, or force=true.")

    from ctrkit.sketching import sketch_schema

    sketch = sketch_schema(files, label=given.get("label"), group=given.get("group"), time=given.get("time"))
    if out is None:
        say(sketch.text.rstrip("\n"))
        return
    with atomic_file(out) as temporary:
        temporary.write_text(sketch.text, encoding="utf-8")
    describe(sketch)
    say(f"wrote {out}; read it and mend what is wrong, then")
    by = " data.split.by=time" if sketch.schema.time is not None else ""
    paths = files[0] if len(files) == 1 else f"[{','.join(files)}]"
    name = out.stem
    say(f"next: ctrkit train schema={name} data=files data.path='{paths}'{by} name={name}")


def describe(sketch: Sketch) -> None:
    """Say in a few lines what the log was taken for."""
    schema = sketch.schema
    say(f"  {sketch.rows:,} rows, label {schema.label} ({sketch.click_rate:.1%} positive)")
    roles = [f"{role} {name}" for role in ("group", "weight", "time") if (name := getattr(schema, role)) is not None]
    kinds: dict[str, int] = {}
    for feature in schema.features:
        kinds[feature.kind] = kinds.get(feature.kind, 0) + 1
    say("  " + ", ".join([*roles, *(f"{count} {kind}" for kind, count in kinds.items())]))
    for column, why in sketch.left_out.items():
        say(f"  left out {column}: {why}")


def name_of(log: str) -> str:
    """A name for what belongs to a log, from the file's.

    >>> name_of("logs/Clicks 2024-*.csv.gz")
    'clicks_2024'
    """
    stem = Path(log).name.split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "mine"
    return name if not name[0].isdigit() else f"log_{name}"
