"""Decide whether a folder holds this run already, and bring it back to its newest whole checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError
from ctrkit.layers.shard import split_only
from ctrkit.records import Records
from ctrkit.training.checkpoint import (
    BEST,
    CHECKPOINTS,
    Checkpoint,
    Stamp,
    check_fingerprint,
    check_shapes,
    checkpoints,
    newest_whole,
    remove_unstamped,
)
from ctrkit.training.logical import counts_of
from ctrkit.training.options import FIXED, TrainingOptions
from ctrkit.training.recut import recut
from ctrkit.training.run_state import RunState
from ctrkit.training.weights import described


def facts_of(fingerprint: str, records: Records, options: TrainingOptions) -> dict[str, Any]:
    """What makes a run this run, as plain values: index, training records, options."""
    return {"fingerprint": fingerprint, "records": records.manifest.checksum, "options": options.to_dict()}


def check_same_run(known: dict[str, Any], facts: dict[str, Any], run_dir: Path) -> None:
    """Refuse to go on with a run under other conditions than `known`, which it began with.

    Raises `ArtifactError`, `IndexMismatchError` or `ConfigError`; nothing when no checkpoint was written yet.
    """
    if not known or not checkpoints(run_dir / CHECKPOINTS):
        return
    advice = "Train a new run (run=new), or delete this one to start over."
    if known["fingerprint"] != facts["fingerprint"]:
        raise IndexMismatchError(
            f"Run {run_dir} was trained with index {known['fingerprint'][:12]}, got index {facts['fingerprint'][:12]}: "
            f"ids would hit unrelated embeddings. {advice}"
        )
    if known["records"] != facts["records"]:
        raise ArtifactError(f"The training records were written anew since run {run_dir} began. {advice}")
    length = () if facts["options"]["learning_rate_decay"] is None else ("epochs", "max_steps")  # The rates follow it.
    for name in (*FIXED, *length):
        before, now = known["options"].get(name), facts["options"][name]
        if before != now:
            raise ConfigError(f"Run {run_dir} began with training.{name}={before!r}, got {now!r}. {advice}")


def resume(
    model: tf.keras.Model, run_dir: Path, state: RunState, fingerprint: str, parts: Mapping[int, int] | None = None
) -> bool:
    """Find the newest whole checkpoint, bring `state` to it and point the Estimator there; False for a new run.

    `parts` are those that the run goes on with, as given to `build_estimator`: where the checkpoint has others it is
    cut anew. Removes what a killed or damaged writing left. Raises `ArtifactError` when all checkpoints are damaged or
    are of another model, `IndexMismatchError` when they are of another index.
    """
    directory = run_dir / CHECKPOINTS
    directory.mkdir(parents=True, exist_ok=True)
    found = newest_whole(directory)
    if found is None:
        remove_unstamped(directory)
        (directory / "checkpoint").unlink(missing_ok=True)
        return False
    checkpoint, stamp = found
    check_fingerprint(stamp, fingerprint, directory)
    check_shapes(stamp, described(model.weights), directory)
    for later in checkpoints(directory):
        if later > checkpoint:
            later.delete()  # Damaged.
    remove_unstamped(directory)
    if counts_of(stamp.parts) != split_only(parts or {}):
        old, checkpoint = checkpoint, recut(checkpoint, parts or {})
        old.delete()
    state.restore(stamp.state)
    tf.compat.v1.train.update_checkpoint_state(str(directory), checkpoint.prefix)
    _mend_best(run_dir, checkpoint, stamp)
    return True


def _mend_best(run_dir: Path, checkpoint: Checkpoint, stamp: Stamp) -> None:
    """Publish the best checkpoint again when the run was killed between writing it and publishing it."""
    published = {best.step for best in checkpoints(run_dir / BEST)}
    if stamp.state["stopping"]["best_step"] == stamp.step and stamp.step not in published:
        checkpoint.publish(run_dir / BEST)
