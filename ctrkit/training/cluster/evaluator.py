"""Evaluate checkpoints outside of the training cluster, so that no worker waits for it."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ctrkit.errors import ArtifactError
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, Checkpoint, checkpoints
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.rendezvous import enter
from ctrkit.training.cluster.ending import End
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.judgement import Evaluation, Judgement, identity
from ctrkit.training.evaluation import evaluate
from ctrkit.training.weights import load_checkpoint

_LOOK_EVERY = 0.5  # Seconds.
_COPY = ".evaluating-"  # Begins the name of a folder that keeps a checkpoint while it is evaluated.
_log = logging.getLogger(__name__)


def evaluate_run(job: Job) -> End:
    """Be the evaluator until the chief ends the training; returns how it ended. Raises as `enter`."""
    with job.client() as client:
        joined = enter(client, job.run_dir, within=job.cluster.come_up_within)
        if joined.end is not None:
            return joined.end
        with Heartbeats(client) as beats:
            judgement = Judgement.read(job.run_dir, job.stopping())
            judge(job, judgement, is_over=lambda: client.end is not None, tell=beats.say)
        client.leave()
    assert client.end is not None
    return client.end


def judge(
    job: Job, judgement: Judgement, *, is_over: Callable[[], bool], tell: Callable[[str], None] = lambda state: None
) -> None:
    """Evaluate each checkpoint as it comes, the newest first, keep the best in `best/`, until the training is over.

    Args:
        job: its model's weights are overwritten; without a validation part the newest checkpoint counts as the best.
            `evaluations.json` and `best/` in the folder of the run are written.
        judgement: what is known so far.
        is_over: whether no further checkpoint will come.
        tell: told of the state, for a screen.
    """
    for left in job.run_dir.glob(f"{_COPY}*"):
        shutil.rmtree(left, ignore_errors=True)  # Of an evaluator that was killed.
    passed_over: set[str] = set()  # Damaged, or gone meanwhile.
    while True:
        over = is_over()  # Asked before the look: what is written before the end is seen.
        newest = newest_of(job.run_dir)
        if newest is not None and newest[1] not in passed_over and not judgement.knows(newest[1]):
            tell("evaluating")
            if not evaluate_checkpoint(job, newest[0], judgement):
                passed_over.add(newest[1])
        elif over:
            return
        else:
            tell("waiting")
            time.sleep(_LOOK_EVERY)


def evaluate_checkpoint(job: Job, checkpoint: Checkpoint, judgement: Judgement) -> bool:
    """Evaluate one checkpoint and note the result; False when it is damaged, or was deleted meanwhile."""
    with tempfile.TemporaryDirectory(prefix=_COPY, dir=job.run_dir) as folder:
        kept = Path(folder) / "checkpoint"
        try:
            checkpoint.publish(kept)  # Links: the chief may delete its own.
            copy = replace(checkpoint, directory=kept)
            load_checkpoint(job.model, copy, copy.verified(), fingerprint=job.fingerprint)
        except (ArtifactError, OSError) as error:
            _log.warning("Skipped the checkpoint of step %d: %s", checkpoint.step, error)
            return False
        records, batch_size = job.prepared.validation, job.options.evaluation_batch_size
        metrics = {} if records is None else evaluate(job.model, records, batch_size=batch_size).metrics
        if judgement.add(Evaluation(step=copy.step, checkpoint=identity(copy), metrics=metrics)):
            copy.publish(job.run_dir / BEST)
        judgement.write(job.run_dir)
        shutil.rmtree(kept, ignore_errors=True)
    return True


def newest_of(run_dir: Path) -> tuple[Checkpoint, str] | None:
    """The newest checkpoint and its identity; None while there is none, or where it is just being deleted."""
    newest = next(iter(checkpoints(run_dir / CHECKPOINTS)), None)
    try:
        return None if newest is None else (newest, identity(newest))
    except OSError:
        return None
