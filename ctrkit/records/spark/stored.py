"""Chunks of the log that executors parsed once and put aside, on a disk that all of them share."""

from __future__ import annotations

import dataclasses
import pickle
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.errors import ConfigError, LogError
from ctrkit.records.chunk import Piece
from ctrkit.records.encode import EncodedChunk, encode
from ctrkit.records.rejections import BadRows, Rejections
from ctrkit.records.spark.shares import Share
from ctrkit.records.spill import Spill
from ctrkit.records.split import Split
from ctrkit.schema import Schema

SPILL, STOPPED = "spill", "stopped"  # Folders of a run.


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A chunk and the folder of the one attempt to write it that counts."""

    chunk: EncodedChunk
    folder: str
    text_time: str | None  # One of its times, where the split goes by them and they are text.

    def numbered(self, number: int, first: int) -> Stored:
        """The same, as chunk `number` of the log, whose rows begin at row `first`; what was rejected is counted."""
        chunk = dataclasses.replace(self.chunk.numbered(number, first), rejected=Rejections())
        return dataclasses.replace(self, chunk=chunk)

    def open(self) -> Layers:
        """Its arrays."""
        places = pickle.loads((Path(self.folder) / f"{self.chunk.file}.places").read_bytes())
        return Layers(Path(self.folder), places)


class Layers(Spill):
    """The arrays of one chunk; what is put on top of them stays in memory."""

    def __init__(
        self, directory: Path, places: Mapping[tuple[str, str], tuple[np.dtype, tuple[int, ...], int]]
    ) -> None:
        self._directory, self._places = directory, dict(places)
        self._top: dict[tuple[str, str], np.ndarray] = {}

    def put(self, file: str, arrays: Mapping[str, np.ndarray], told: Mapping[str, Any] | None = None) -> None:
        self._top |= {(file, key): array for key, array in arrays.items()}

    def get(self, file: str, key: str) -> np.ndarray:
        found = self._top.get((file, key))
        return super().get(file, key) if found is None else found

    def has(self, file: str, key: str) -> bool:
        return (file, key) in self._top or super().has(file, key)

    def strings(self, file: str, key: str) -> int:
        found = self._top.get((file, f"{key}.offsets"))
        return super().strings(file, key) if found is None else len(found) - 1


@dataclass(frozen=True, kw_only=True)
class Storing:
    """Parses a share of the log and puts its chunks aside below `folder`, under a name of this attempt's own."""

    schema: Schema
    split: Split
    folder: Path
    chunk_bytes: int
    bad_rows: BadRows

    def __call__(self, share: Share) -> list[Stored] | None:
        """The chunks, in order; None where an earlier share is at fault. Raises `LogError`; later shares end early."""
        if not (self.folder / STOPPED).is_dir():
            raise ConfigError(
                f"An executor does not see {self.folder}. Spark's driver and executors must share the disk of work_dir "
                "and of the log under one path (NFS, Lustre, …): choose such a work_dir."
            )
        own = self.folder / SPILL / f"{share.number:06d}-{uuid.uuid4().hex[:12]}"
        found = []
        try:
            for number, piece in enumerate(share.pieces(self.schema, self.chunk_bytes)):
                if any(int(path.name) < share.number for path in (self.folder / STOPPED).iterdir()):
                    return None
                found.append(self._put_aside(piece, number, own))
        except LogError:
            (self.folder / STOPPED / str(share.number)).touch()
            raise
        return found

    def _put_aside(self, piece: Piece, number: int, own: Path) -> Stored:
        spill = Spill(own)
        chunk = encode(piece, number, self.schema, self.split, spill, self.bad_rows)
        (own / f"{chunk.file}.places").write_bytes(pickle.dumps(dict(spill.places)))
        is_text = spill.has(chunk.file, "time_code") and chunk.rows > 0
        text = spill.get_strings(chunk.file, "time_text")[0].as_py() if is_text else None
        return Stored(chunk=chunk, folder=str(own), text_time=text)
