"""`ctrkit records export`: records -> row-wise tf.Examples with named features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ctrkit.commands.console import say
from ctrkit.commands.own_words import own_words
from ctrkit.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from ctrkit.records import Prepared
    from ctrkit.records.tfds_metadata import Described

PARTS = ("train", "validation", "test")
ALL = "all"


def run(arguments: list[str]) -> None:
    """Export what `ctrkit prepare` wrote."""
    from ctrkit.commands.configuration import load_config
    from ctrkit.commands.workspace import work_dir
    from ctrkit.records import Prepared
    from ctrkit.records.tfds_metadata import Described, name_of

    given, bare, rest = own_words(arguments, {"out": None, "part": (*PARTS, ALL)})
    if bare:
        raise ConfigError(f"Cannot read {bare[0]!r}. Type: ctrkit records export experiment=NAME out=FOLDER")
    config = load_config(rest)
    out = Path(given.get("out") or work_dir(config) / "rows")
    described = Described(name=name_of(str(config.name)), description=str(config.question))
    count = export_parts(Prepared.open(work_dir(config)), out, described, part=given.get("part", ALL))
    say(f"  wrote {out}: {count:,} rows of named int64 features, with label, weight and group where there are any")
    say(f'  tfds.builder_from_directory("{out}") loads them; tf.data reads {out}/PART/*.tfrecord')


def export_parts(prepared: Prepared, out: Path, described: Described, *, part: str) -> int:
    """Write the named part, or all, and return the number of rows. Raises `ArtifactError` where it was not prepared."""
    from ctrkit.records import export_records

    found = {name: getattr(prepared, name) for name in (PARTS if part == ALL else (part,))}
    manifests = {name: records.manifest for name, records in found.items() if records is not None}
    if not manifests:
        raise ArtifactError(f"{prepared.work_dir} has no part {part!r}. Type part={next(iter(prepared.rows))}.")
    return export_records(manifests, prepared.index, out, described)
