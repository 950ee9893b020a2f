"""Evaluate checkpoints outside of the training cluster, so that no worker waits for it."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from ctrkit.errors import ArtifactError
from ctrkit.records import Records
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, Checkpoint, checkpoints
from ctrkit.training.cluster.judgement import Judgement
from ctrkit.training.evaluation import evaluate
from ctrkit.training.weights import load_checkpoint

_LOOK_EVERY = 0.5  # Seconds.
_COPY = ".evaluating-"  # Begins the name of a folder that keeps a checkpoint while it is evaluated.
_log = logging.getLogger(__name__)


def judge(
    model: tf.keras.Model,
    records: Records | None,
    run_dir: Path,
    judgement: Judgement,
    *,
    fingerprint: str,
    batch_size: int,
    is_over: Callable[[], bool],
    tell: Callable[[str], None] = lambda state: None,
) -> None:
    """Evaluate each checkpoint as it comes, the newest first, keep the best in `best/`, until the training is over.

    Args:
        model: of the run's configuration; its weights are overwritten.
        records: to evaluate on; None: the newest checkpoint counts as the best.
        run_dir: the run's folder; `evaluations.json` and `best/` in it are written.
        judgement: what is known so far.
        fingerprint: of the feature index.
        batch_size: rows scored at once.
        is_over: whether no further checkpoint will come.
        tell: told of the state, for a screen.
    """
    for left in run_dir.glob(f"{_COPY}*"):
        shutil.rmtree(left, ignore_errors=True)  # Of an evaluator that was killed.
    while True:
        over = is_over()  # Asked before the look: what is written before the end is seen.
        newest = next(iter(checkpoints(run_dir / CHECKPOINTS)), None)
        if newest is not None and newest.step not in judgement.steps:
            tell("evaluating")
            evaluate_checkpoint(
                model, records, run_dir, newest, judgement, fingerprint=fingerprint, batch_size=batch_size
            )
        elif over:
            return
        else:
            tell("waiting")
            time.sleep(_LOOK_EVERY)


def evaluate_checkpoint(
    model: tf.keras.Model,
    records: Records | None,
    run_dir: Path,
    checkpoint: Checkpoint,
    judgement: Judgement,
    *,
    fingerprint: str,
    batch_size: int,
) -> None:
    """Evaluate one checkpoint and note the result; nothing happens when it is deleted or damaged meanwhile."""
    with tempfile.TemporaryDirectory(prefix=_COPY, dir=run_dir) as folder:
        kept = Path(folder) / "checkpoint"
        try:
            checkpoint.publish(kept)  # Links: the chief may delete its own.
            copy = replace(checkpoint, directory=kept)
            load_checkpoint(model, copy, copy.verified(), fingerprint=fingerprint)
        except (ArtifactError, OSError) as error:
            _log.warning("Skipped the checkpoint of step %d: %s", checkpoint.step, error)
            return
        metrics = {} if records is None else evaluate(model, records, batch_size=batch_size).metrics
        if judgement.add(checkpoint.step, metrics):
            copy.publish(run_dir / BEST)
        judgement.write(run_dir)
        shutil.rmtree(kept, ignore_errors=True)
