"""The scores of a part of the records, kept beside the run so that two runs can be compared row by row."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctrkit.atomic import atomic_file
from ctrkit.errors import ArtifactError

_ARRAYS = ("labels", "scores", "weights", "groups")
_TEXTS = ("part", "records", "log", "fingerprint")


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredPart:
    """What a run thinks of each row of a part, in the order of the records."""

    part: str  # train, validation or test.
    labels: np.ndarray  # float32 [n]
    scores: np.ndarray  # float32 [n], probabilities.
    weights: np.ndarray | None  # float32 [n]
    groups: np.ndarray | None  # int64 [n]
    records: str  # `Manifest.checksum` of the records.
    log: str  # Digest of the log's files and of how it was split: the same for another index of the same log.
    fingerprint: str  # Of the feature index.

    def save(self, run_dir: str | os.PathLike[str]) -> Path:
        """Write `scores_PART.npz` into the run's folder, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        texts = {name: np.array(getattr(self, name)) for name in _TEXTS}
        path = scores_file(run_dir, self.part)
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays, **texts)
        return path

    @classmethod
    def load(cls, run_dir: str | os.PathLike[str], part: str) -> ScoredPart:
        """Read what `save` wrote. Raises `ArtifactError` where the part was not scored, or not by this version."""
        path = scores_file(run_dir, part)
        run = Path(run_dir).name
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found.get(name) for name in _ARRAYS}
                texts = {name: str(found[name]) for name in _TEXTS}
        except FileNotFoundError:
            raise ArtifactError(
                f"Run {run} has no scores of part {part!r} ({path.name}). Type: ctrkit evaluate run={run} part={part}"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(
                f"Cannot read {path}: {error}. Score it again: ctrkit evaluate run={run} part={part}"
            ) from error
        return cls(**arrays, **texts)  # type: ignore[arg-type]

    def difference_of_rows(self, other: ScoredPart) -> str | None:
        """What tells the rows of `other` from these, as the end of a sentence; None where they are the same rows.

        They are where the records are; or, under different indexes, where the log, its split and the labels in order
        are.
        """
        if self.records == other.records:
            return None
        if self.part != other.part:
            return f"part {self.part!r} against part {other.part!r}"
        if len(self.labels) != len(other.labels):
            return f"{len(self.labels):,} rows against {len(other.labels):,}"
        if self.log != other.log:
            return "rows of another log, or of another split of it"
        if not np.array_equal(self.labels, other.labels):
            return f"other labels in {int((self.labels != other.labels).sum()):,} of {len(self.labels):,} rows"
        return None


def scores_file(run_dir: str | os.PathLike[str], part: str) -> Path:
    """Where a run's scores of a part lie."""
    return Path(run_dir) / f"scores_{part}.npz"


def check_same_rows(first: ScoredPart, second: ScoredPart, *, names: tuple[str, str]) -> None:
    """Raise `ArtifactError` unless both scored the same rows; `names` are the runs'."""
    difference = first.difference_of_rows(second)
    if difference is not None:
        raise ArtifactError(
            f"Runs {names[0]} and {names[1]} were scored on different rows: {difference}. A difference of their "
            "metrics says nothing about the models. Train both on records of one log with one split (data.* alike), or "
            "score both on one part: ctrkit evaluate run=NAME part=test"
        )
