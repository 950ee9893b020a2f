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
from ctrkit.training.cluster.judgement import Evaluation, Judgement, identity
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
    passed_over: set[str] = set()  # Damaged, or gone meanwhile.
    while True:
        over = is_over()  # Asked before the look: what is written before the end is seen.
        newest = newest_of(run_dir)
        if newest is not None and newest[1] not in passed_over and not judgement.knows(newest[1]):
            tell("evaluating")
            evaluated = evaluate_checkpoint(
                model, records, run_dir, newest[0], judgement, fingerprint=fingerprint, batch_size=batch_size
            )
            if not evaluated:
                passed_over.add(newest[1])
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
) -> bool:
    """Evaluate one checkpoint and note the result; False when it is damaged, or was deleted meanwhile."""
    with tempfile.TemporaryDirectory(prefix=_COPY, dir=run_dir) as folder:
        kept = Path(folder) / "checkpoint"
        try:
            checkpoint.publish(kept)  # Links: the chief may delete its own.
            copy = replace(checkpoint, directory=kept)
            load_checkpoint(model, copy, copy.verified(), fingerprint=fingerprint)
        except (ArtifactError, OSError) as error:
            _log.warning("Skipped the checkpoint of step %d: %s", checkpoint.step, error)
            return False
        metrics = {} if records is None else evaluate(model, records, batch_size=batch_size).metrics
        if judgement.add(Evaluation(step=copy.step, checkpoint=identity(copy), metrics=metrics)):
            copy.publish(run_dir / BEST)
        judgement.write(run_dir)
        shutil.rmtree(kept, ignore_errors=True)
    return True


def newest_of(run_dir: Path) -> tuple[Checkpoint, str] | None:
    """The newest checkpoint and its identity; None while there is none, or where it is just being deleted."""
    newest = next(iter(checkpoints(run_dir / CHECKPOINTS)), None)
    try:
        return None if newest is None else (newest, identity(newest))
    except OSError:
        return None
