"""Write a run's checkpoints from its session."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ctrkit.errors import ArtifactError
from ctrkit.layers.shard import split_only
from ctrkit.reasons import reason_of
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, Checkpoint, Stamp, checkpoints, unwritten
from ctrkit.training.run_state import RunState


class CheckpointWriter:
    """Keeps the last few checkpoints of a run, and the best one apart from them.

    Args:
        run_dir: of the run.
        keep: so many checkpoints.
        fingerprint: of the feature index.
        weights: shape and dtype of each weight of the model.
        parts: place of a split weight in the model -> number of its parts.
        passed_on: errors of `save` that are raised as they are, unless they name a file of the checkpoint.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        keep: int,
        fingerprint: str,
        weights: list[list[Any]],
        parts: Mapping[int, int] | None = None,
        passed_on: tuple[type[Exception], ...] = (),
    ) -> None:
        self._run_dir, self._directory = run_dir, run_dir / CHECKPOINTS
        self._keep, self._fingerprint, self._weights = keep, fingerprint, weights
        self._parts = {str(place): count for place, count in split_only(parts or {}).items()}
        self._passed_on = passed_on
        self._saver: tf.compat.v1.train.Saver | None = None

    def use(self, saver: tf.compat.v1.train.Saver) -> None:
        """Save with the graph's saver from now on."""
        self._saver = saver

    def save(self, session: tf.compat.v1.Session, state: RunState, *, is_best: bool) -> None:
        """Write a checkpoint of this step, then drop the oldest.

        Raises `ArtifactError` when the disk is full; the checkpoints from before are then still there.
        """
        assert self._saver is not None
        checkpoint = unwritten(self._directory, state.step)
        with writing(checkpoint, passed_on=self._passed_on):
            self._saver.save(session, checkpoint.prefix, write_meta_graph=False, write_state=False)
            checkpoint.seal(
                Stamp(
                    step=state.step,
                    fingerprint=self._fingerprint,
                    weights=self._weights,
                    parts=self._parts,
                    state=state.to_dict(),
                )
            )
            if is_best:
                checkpoint.publish(self._run_dir / BEST)
        kept = checkpoints(self._directory)
        same_step = [old for old in kept if old.step == checkpoint.step and old < checkpoint]
        for old in same_step + [old for old in kept if old not in same_step][self._keep :]:
            old.delete()


@contextlib.contextmanager
def writing(checkpoint: Checkpoint, *, passed_on: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise `ArtifactError` for what goes wrong while `checkpoint` is written, leaving nothing of it behind.

    Errors of `passed_on` stay what they are, unless they name a file of the checkpoint: those are of the disk.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        with contextlib.suppress(OSError):
            checkpoint.delete()
        if isinstance(error, passed_on) and str(checkpoint.directory) not in str(error):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or reason_of(error)
        free = shutil.disk_usage(checkpoint.directory).free
        raise ArtifactError(
            f"Cannot write the checkpoint of step {checkpoint.step:,} to {checkpoint.directory}: {reason} "
            f"({free / 1e6:,.0f} MB free there). The checkpoints before it are whole: free some space and run the same "
            "command again to go on from the last of them."
        ) from error
