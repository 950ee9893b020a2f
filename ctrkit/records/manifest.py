"""manifest.json: what a directory of record shards holds, and how to tell that it is whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

from ctrkit.errors import ArtifactError, CorruptRecordsError, IndexMismatchError
from ctrkit.progress import progress
from ctrkit.records.block import BlockTemplate
from ctrkit.records.layout import RowLayout

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
_CHUNK = 1 << 22  # Bytes read at once.
WRITE_AGAIN = "Write the records again with `ctrkit prepare`."


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One TFRecord file: full blocks, then at most one shorter block."""

    name: str
    rows: int
    bytes: int
    crc32c: str  # Of the whole file, 8 hexadecimal digits.


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of a directory of record shards; `RecordWriter` writes it last."""

    directory: Path = field(compare=False)
    fingerprint: str  # Of the feature index that gave the rows.
    width: int
    labels: int
    has_weight: bool
    has_group: bool
    rows: int
    label_sums: tuple[float, ...]  # One for each label.
    block_rows: int
    seed: int | None  # Of the global shuffle; None: rows are in the log's order.
    shards: tuple[Shard, ...]

    @property
    def layout(self) -> RowLayout:
        return RowLayout(width=self.width, labels=self.labels, has_weight=self.has_weight, has_group=self.has_group)

    @property
    def block_bytes(self) -> int:
        """Size of a full block on disk."""
        return BlockTemplate(self.layout, self.block_rows).size

    @property
    def label_rate(self) -> float:
        """Mean of the first label, unweighted; NaN when there are no rows."""
        return self.label_sums[0] / self.rows if self.rows else float("nan")

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def checksum(self) -> str:
        """SHA-256 over the rows, sizes and checksums of the shards: equal for equal bytes, without reading them."""
        shards = [[shard.rows, shard.bytes, shard.crc32c] for shard in self.shards]
        return hashlib.sha256(json.dumps(shards).encode()).hexdigest()

    def path(self, shard: Shard) -> Path:
        return self.directory / shard.name

    def save(self) -> None:
        """Write manifest.json into `directory`."""
        described = dataclasses.asdict(self)
        described.pop("directory")
        described = {"format": "ctrkit records", "format_version": FORMAT_VERSION, **described}
        described["label_rate"] = self.label_rate if self.rows else None
        text = json.dumps(described, indent=2) + "\n"
        (self.directory / MANIFEST_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Manifest:
        """Read manifest.json and compare the size of every shard with it.

        Raises `ArtifactError` when it is absent or unreadable, `CorruptRecordsError` when a shard is missing or of
        another size.
        """
        directory = Path(directory)
        path = directory / MANIFEST_FILE
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            there = "an unfinished or foreign directory" if directory.is_dir() else "no such directory"
            raise ArtifactError(
                f"No records at {directory}: {there} (no {MANIFEST_FILE}). Write them with `ctrkit prepare`."
            ) from None
        except (OSError, ValueError) as error:
            raise ArtifactError(f"Cannot read {path}: {error}. {WRITE_AGAIN}") from error
        manifest = cls._from_json(directory, described)
        manifest._check_sizes()
        return manifest

    @classmethod
    def _from_json(cls, directory: Path, described: Any) -> Manifest:
        path = directory / MANIFEST_FILE
        version = described.get("format_version") if isinstance(described, dict) else None
        if version != FORMAT_VERSION:
            raise ArtifactError(
                f"{path} has format version {version}, this ctrkit reads {FORMAT_VERSION}. {WRITE_AGAIN}"
            )
        names = {f.name for f in dataclasses.fields(cls)} - {"directory", "shards", "label_sums"}
        try:
            for number in ("rows", "width", "labels", "block_rows"):
                if not isinstance(described[number], int):
                    raise TypeError(f"{number} is {described[number]!r}")
            return cls(
                directory=directory,
                shards=tuple(Shard(**shard) for shard in described["shards"]),
                label_sums=tuple(map(float, described["label_sums"])),
                **{name: described[name] for name in names},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} is not a whole manifest ({error!r}). {WRITE_AGAIN}") from error

    def _check_sizes(self) -> None:
        if sum(shard.rows for shard in self.shards) != self.rows:
            raise ArtifactError(
                f"{self.directory / MANIFEST_FILE} does not add up: got shards of {sum(s.rows for s in self.shards):,} "
                f"rows, expected {self.rows:,}. {WRITE_AGAIN}"
            )
        full = self.block_bytes
        for shard in self.shards:
            blocks, rest = divmod(shard.rows, self.block_rows)
            expected = blocks * full + (BlockTemplate(self.layout, rest).size if rest else 0)
            if shard.bytes != expected:
                raise ArtifactError(
                    f"{self.directory / MANIFEST_FILE} does not add up: {shard.rows:,} rows take {expected:,} bytes, "
                    f"it says {shard.bytes:,} for {shard.name}. {WRITE_AGAIN}"
                )
            try:
                got = self.path(shard).stat().st_size
            except FileNotFoundError:
                raise CorruptRecordsError(f"Shard {self.path(shard)} is missing. {WRITE_AGAIN}") from None
            if got != shard.bytes:
                kind = "truncated" if got < shard.bytes else "too long"
                raise CorruptRecordsError(
                    f"Shard {self.path(shard)} is {kind}: got {got:,} bytes, expected {shard.bytes:,}. {WRITE_AGAIN}"
                )

    def check_fingerprint(self, fingerprint: str, *, what: str = "this feature index") -> None:
        """Raise `IndexMismatchError` unless the records were made with the index of `fingerprint`."""
        if fingerprint != self.fingerprint:
            raise IndexMismatchError(
                f"Records {self.directory} have fingerprint {self.fingerprint[:12]}, {what} has {fingerprint[:12]}: "
                "its rows mean other values. Use the index that lies beside the records, or write the records again "
                "with `ctrkit prepare`."
            )

    def verify_checksums(self) -> None:
        """Read every shard and raise `CorruptRecordsError` naming the first whose bytes are not those written."""
        with progress(f"checking {self.directory}", total=self.bytes, unit="bytes") as shown:
            for shard in self.shards:
                crc = size = 0
                for chunk in _chunks(self.path(shard)):
                    crc = google_crc32c.extend(crc, chunk)
                    size += len(chunk)
                    shown.advance(len(chunk))
                if size != shard.bytes or f"{crc:08x}" != shard.crc32c:
                    raise CorruptRecordsError(
                        f"Shard {self.path(shard)} is corrupt: got checksum {crc:08x} over {size:,} bytes, expected "
                        f"{shard.crc32c} over {shard.bytes:,}. {WRITE_AGAIN}"
                    )


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise CorruptRecordsError(f"Cannot read shard {path}: {error.strerror}. {WRITE_AGAIN}") from error
