"""A checkpoint on disk: TensorFlow's files and, written last, a stamp that says what they are."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from ctrkit.atomic import atomic_directory, write_json
from ctrkit.errors import ArtifactError, IndexMismatchError
from ctrkit.progress import progress
from ctrkit.reasons import reason_of

FORMAT_VERSION = 2  # 2: tensors are named by the place of their weight in the model, and may be in parts.
CHECKPOINTS, BEST = "checkpoints", "best"  # Folders of a run.
PREFIX = "model.ckpt"
_AGAIN = ".again-"  # Before the number of a step written again, so that the files from before stay whole.
_FILE = re.compile(rf"{re.escape(PREFIX)}-(\d+)(?:{re.escape(_AGAIN)}(\d+))?(?!\d)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a checkpoint is."""

    step: int  # Updates done.
    fingerprint: str  # Of the feature index.
    weights: list[list[Any]]  # Shape and dtype of each weight of the model, in its order; the whole of split ones.
    parts: dict[str, int] = field(default_factory=dict)  # Place of each split weight among them -> number of parts.
    state: dict[str, Any] = field(default_factory=dict)  # Of the run, beyond the weights.
    files: dict[str, int] = field(default_factory=dict)  # Name -> bytes.


@dataclass(frozen=True, order=True)
class Checkpoint:
    """The files of one step in a folder; of several of the same step the one with the largest number is the newest."""

    directory: Path
    step: int
    again: int = 0  # How often the step had been written before, e.g. cut into other parts.

    @property
    def prefix(self) -> str:
        """The path that TensorFlow knows it by."""
        return str(self.directory / f"{PREFIX}-{self.step}") + (f"{_AGAIN}{self.again}" if self.again else "")

    @property
    def stamp_path(self) -> Path:
        return Path(f"{self.prefix}.json")

    def files(self) -> list[Path]:
        """All of its files that exist, the stamp among them: one of data, or one for each parameter server."""
        return [path for path in self._left() if path.is_file()]

    def _left(self) -> list[Path]:
        """Files and, where writing was cut off, folders."""
        found = self.directory.glob(f"{PREFIX}-{self.step}*")
        return sorted(path for path in found if _of_file(path) == self)

    def seal(self, stamp: Stamp) -> None:
        """Write the stamp: from now on the checkpoint counts as whole."""
        sizes = {path.name: path.stat().st_size for path in self.files() if path != self.stamp_path}
        write_json(self.stamp_path, {"format_version": FORMAT_VERSION, **asdict(stamp), "files": sizes})

    def stamp(self) -> Stamp:
        """Read the stamp. Raises `ArtifactError`."""
        try:
            content = json.loads(self.stamp_path.read_text(encoding="utf-8"))
            version = content.pop("format_version")
            if version != FORMAT_VERSION:
                raise ArtifactError(
                    f"Checkpoint {self.prefix} has format version {version}, this ctrkit reads {FORMAT_VERSION}. "
                    "Train again, or use the ctrkit that wrote it."
                )
            return Stamp(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"Cannot read {self.stamp_path}: {error}. Train again.") from error

    def verified(self) -> Stamp:
        """Read every byte against its checksum and return the stamp.

        Raises `ArtifactError` naming what is wrong.
        """
        stamp = self.stamp()
        for name, size in stamp.files.items():
            path = self.directory / name
            got = path.stat().st_size if path.is_file() else None
            if got != size:
                is_there = "is missing" if got is None else f"has {got:,} bytes, expected {size:,}"
                raise ArtifactError(f"Checkpoint {self.prefix} is damaged: {name} {is_there}.")
        try:
            reader = tf.train.load_checkpoint(self.prefix)
            with progress("checking the checkpoint", total=sum(stamp.files.values()), unit="bytes") as shown:
                for name in reader.get_variable_to_shape_map():
                    tensor = reader.get_tensor(name)  # Checks the checksum of the tensor's bytes.
                    shown.advance(getattr(tensor, "nbytes", 0))
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise ArtifactError(f"Checkpoint {self.prefix} is damaged: {reason_of(error)}.") from error
        return stamp

    def delete(self) -> None:
        """Remove the files, the stamp first, so that no half of a checkpoint is taken for a whole."""
        for path in [self.stamp_path, *self._left()]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def publish(self, directory: Path) -> None:
        """Make `directory` hold this checkpoint and nothing else; links files where the disk can."""
        with atomic_directory(directory) as temporary:
            for path in self.files():
                try:
                    os.link(path, temporary / path.name)
                except OSError:
                    shutil.copy2(path, temporary / path.name)


def checkpoints(directory: Path) -> list[Checkpoint]:
    """The stamped checkpoints of a folder, newest first."""
    found = [(_of_file(path), path) for path in directory.glob(f"{PREFIX}-*.json")]
    return sorted((one for one, path in found if one is not None and one.stamp_path == path), reverse=True)


def unwritten(directory: Path, step: int) -> Checkpoint:
    """A checkpoint of `step` to be written that overwrites none of the same step."""
    written = [checkpoint.again for checkpoint in checkpoints(directory) if checkpoint.step == step]
    return Checkpoint(directory, step, max(written) + 1 if written else 0)


def newest_whole(directory: Path) -> tuple[Checkpoint, Stamp] | None:
    """Return the newest checkpoint that is undamaged, or None when none was ever finished.

    Says which damaged ones it passed over. Raises `ArtifactError` when all are damaged.
    """
    found = checkpoints(directory)
    for number, checkpoint in enumerate(found):
        try:
            return checkpoint, checkpoint.verified()
        except ArtifactError as error:
            if number + 1 == len(found):
                raise ArtifactError(
                    f"{error} No checkpoint before it is left in {directory}. Delete that folder to train from the "
                    "start, or train a new run (run=new)."
                ) from error
            _log.warning("%s Going back to the one of step %d.", error, found[number + 1].step)
    return None


def remove_unstamped(directory: Path) -> None:
    """Delete files of checkpoints whose writing was cut off."""
    found = {_of_file(path) for path in directory.glob(f"{PREFIX}-*")}
    for checkpoint in found.difference(checkpoints(directory)):
        if checkpoint is not None:
            checkpoint.delete()


def check_fingerprint(stamp: Stamp, fingerprint: str, where: Path) -> None:
    """Raise `IndexMismatchError` unless the checkpoint was trained on ids of this feature index."""
    if stamp.fingerprint != fingerprint:
        raise IndexMismatchError(
            f"The weights in {where} were trained with index {stamp.fingerprint[:12]}, got index {fingerprint[:12]}: "
            "ids would hit unrelated embeddings. Train a new run (run=new), or prepare the log of the old one again."
        )


def check_shapes(stamp: Stamp, weights: list[list[Any]], where: Path) -> None:
    """Raise `ArtifactError` unless the checkpoint holds weights of these shapes and types, in this order."""
    if stamp.weights == weights:
        return
    pairs = zip(stamp.weights, weights, strict=False)
    number, (kept, wanted) = next(
        ((k, pair) for k, pair in enumerate(pairs) if pair[0] != pair[1]),
        (min(len(stamp.weights), len(weights)), ("", "")),
    )
    detail = f"weight {number} has {kept} there and {wanted} here" if kept else "one has more weights than the other"
    raise ArtifactError(
        f"The weights in {where} are of another model: {len(stamp.weights)} there, {len(weights)} here; {detail}. "
        "Build the model with the options that the run was trained with, or train a new run (run=new)."
    )


def _of_file(path: Path) -> Checkpoint | None:
    """The checkpoint that a file belongs to, by its name."""
    match = _FILE.match(path.name)
    return Checkpoint(path.parent, int(match[1]), int(match[2] or 0)) if match else None
