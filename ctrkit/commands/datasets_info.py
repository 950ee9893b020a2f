"""`ctrkit datasets info NAME`: what a data set is, and which of its files are there."""

from __future__ import annotations

from ctrkit.commands.console import say, table
from ctrkit.commands.own_words import own_words
from ctrkit.datasets.catalogue import CATALOGUE, Entry, entry_of
from ctrkit.datasets.sources import find_file
from ctrkit.errors import ArtifactError, ConfigError, did_you_mean

FOLDER = "data.manual_dir"


def run(arguments: list[str]) -> None:
    """Print what is known."""
    given, names, rest = own_words(arguments, {FOLDER: None})
    if rest:
        raise ConfigError(f"ctrkit datasets info takes no {rest[0]!r}.{did_you_mean(rest[0], [FOLDER])}")
    if len(names) != 1:
        raise ConfigError(f"Which data set? Type: ctrkit datasets info NAME.{did_you_mean('', CATALOGUE)}")
    describe(entry_of(names[0]), given.get(FOLDER))


def describe(entry: Entry, folder: str | None) -> None:
    """Print the facts of an entry, with the state of its files where a folder is named."""
    say(f"{entry.name}: {entry.title}\n{entry.summary}")
    facts = [("rows", entry.rows), ("label", entry.label), ("columns", entry.columns), ("splits", entry.splits)]
    facts += [("licence", entry.licence), ("home page", entry.homepage), ("download", entry.download)]
    say(table([(name, value) for name, value in facts if value]))
    for archive in entry.archives:
        known = [] if archive.url is None else [archive.url]
        known += [] if archive.bytes is None else [f"{archive.bytes:,} bytes"]
        known += [] if archive.sha256 is None else [f"SHA-256 {archive.sha256}"]
        say(f"  archive {archive.name}" + (f": {', '.join(known)}" if known else ""))
    for place, file in enumerate(entry.files):
        say(f"  file {' or '.join(file.names)}{_state(entry, place, folder)}: {file.what}")
    if entry.citation:
        say(entry.citation)
    where = "" if not entry.files else f" {FOLDER}={folder or 'FOLDER'}"
    say(f"next: ctrkit datasets build {entry.name}{where}")


def _state(entry: Entry, place: int, folder: str | None) -> str:
    if folder is None:
        return "" if entry.files[place].needed else " (may be absent)"
    try:
        path = find_file(entry, place, folder)
    except ArtifactError:
        return " (ABSENT)" if entry.files[place].needed else " (absent, which is all right)"
    return f" (there: {path.stat().st_size:,} bytes)"
