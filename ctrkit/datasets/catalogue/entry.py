"""What is known of a public data set: files, columns, splits, licence, citation, checksums."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that a build reads from the manual_dir."""

    names: tuple[str, ...]  # Its name, then other names that it goes by; each also with .gz.
    what: str
    needed: bool = True
    sha256: str | None = None  # Of the file as published, unpacked; None where it is not known for certain.


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What is downloaded and unpacked into the manual_dir."""

    name: str
    url: str | None = None  # Where it can be fetched without an account or a form.
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A data set of the catalogue; `conf/data/<name>.yaml` and `conf/schema/<name>.yaml` build and read it."""

    name: str
    title: str
    summary: str
    rows: str  # In words, as published.
    label: str
    splits: str  # As published, and what conf/data makes of them.
    licence: str
    citation: str  # BibTeX.
    homepage: str
    download: str  # What to do to get the files.
    files: tuple[SourceFile, ...]
    columns: str
    archives: tuple[Archive, ...] = ()
    folders: tuple[str, ...] = ()  # Folders of the unpacked archive in which the files may lie, too.
