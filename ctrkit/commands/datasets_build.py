"""`ctrkit datasets build NAME`: a published log -> index and records that tensorflow-datasets loads, too."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ctrkit.commands.configuration import load_config
from ctrkit.commands.console import say
from ctrkit.commands.main import choices
from ctrkit.commands.own_words import own_words
from ctrkit.commands.prepare import describe, log_files, prepare_log
from ctrkit.commands.records_export import export_parts
from ctrkit.commands.workspace import hint, work_dir
from ctrkit.datasets.catalogue import CATALOGUE, Entry, entry_of
from ctrkit.errors import ArtifactError, ConfigError, did_you_mean

BLOCKS, ROWS = "blocks", "rows"


def run(arguments: list[str]) -> None:
    """Build, describe and say how to load it."""
    given, names, rest = own_words(arguments, {"layout": (BLOCKS, ROWS)})
    if len(names) != 1:
        raise ConfigError(f"Which data set? Type: ctrkit datasets build NAME.{did_you_mean('', CATALOGUE)}")
    entry = entry_of(names[0])
    start = [f"experiment={entry.name}"] if entry.name in choices("experiment") else []
    config = load_config([*start, f"schema={entry.name}", f"data={entry.name}", f"name={entry.name}", *rest])
    build(entry, config, rows=given.get("layout") == ROWS)


def build(entry: Entry, config: DictConfig, *, rows: bool) -> None:
    """Write index, records and their metadata below the configuration's work_dir."""
    from ctrkit.datasets.provenance import check_archives, record_sources, source_files
    from ctrkit.records import describe_records
    from ctrkit.records.tfds_metadata import Described

    folder = work_dir(config)
    manual_dir = config.data.get("manual_dir")
    for name in [] if manual_dir is None else check_archives(entry, Path(manual_dir)):
        say(f"  {name} is the published file, by its SHA-256")
    prepared = prepare_log(config)
    describe(prepared, folder)
    described = Described(
        name=entry.name,
        description=f"{entry.title}. {entry.summary}",
        homepage=entry.homepage or None,
        citation=entry.citation or None,
        licence=entry.licence,
    )
    describe_records(folder / "records", described)
    if entry.files:
        try:
            sources = record_sources(folder, source_files(log_files(config)))
        except ArtifactError:
            sources = {}  # The raw files are gone; what was prepared from them is there.
        for path, (sha, state) in sources.items():
            note = {"recorded": "recorded", "same": "as before", "changed": "NOT the file of the last build"}[state]
            say(f"  {path.name}: SHA-256 {sha} ({note})")
    say(f"  licence: {entry.licence}")
    say(f'  tfds.builder_from_directory("{folder / "records"}"), an example a block: ctrkit.records.decode_block')
    if rows:
        out = folder / "rows"
        count = export_parts(prepared, out, described, part="all")
        say(f'  tfds.builder_from_directory("{out}"), an example a row: {count:,} of them')
    say(f"next: ctrkit train {hint(config)}")
