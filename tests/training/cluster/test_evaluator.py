"""Every checkpoint is evaluated as what it is, also one of a step that was written before with other weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.training import evaluate, load_weights
from ctrkit.training.checkpoint import CHECKPOINTS, Checkpoint, checkpoints
from ctrkit.training.cluster.evaluator import judge
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.judgement import Judgement, identity
from ctrkit.training.cluster.task import Task
from tests.training.runs import Undisturbed


@pytest.fixture
def run_dir(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A run of one checkpoint."""
    checkpoints(undisturbed.run_dir / CHECKPOINTS)[0].publish(tmp_path / CHECKPOINTS)
    return tmp_path


def newest(run_dir: Path) -> Checkpoint:
    return checkpoints(run_dir / CHECKPOINTS)[0]


def write_again(run_dir: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write the newest checkpoint's step again, as a chief that went back does, with other weights."""
    old = newest(run_dir)
    stamp, reader = old.stamp(), tf.train.load_checkpoint(old.prefix)
    names = sorted(reader.get_variable_to_shape_map())
    before = {name: np.asarray(reader.get_tensor(name)) for name in names}
    values = [change(value) if name.startswith("weights/") else value for name, value in before.items()]
    old.delete()
    tf.raw_ops.SaveV2(prefix=old.prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    old.seal(stamp)


def test_the_same_weights_are_known_again_and_others_are_not(run_dir: Path, tmp_path: Path) -> None:
    before = identity(newest(run_dir))
    newest(run_dir).publish(tmp_path / "linked")
    shutil.copytree(run_dir / CHECKPOINTS, tmp_path / "copied" / CHECKPOINTS)
    assert identity(newest(tmp_path / "copied")) == identity(checkpoints(tmp_path / "linked")[0]) == before
    write_again(run_dir, lambda value: value + 1e-6)
    assert identity(newest(run_dir)) != before
    assert identity(newest(run_dir)).split("-")[0] == before.split("-")[0] == "38"


@pytest.fixture
def judge_run(prepared, build) -> Callable[[Path], Judgement]:
    """A function that does what an evaluator does which comes when the training is over."""

    def judged(run_dir: Path) -> Judgement:
        task = Task(role="evaluator", index=0, cluster={"chief": ("a:1",), "ps": ("b:1",)})
        job = Job(model=build(), prepared=prepared, run_dir=run_dir, task=task)
        judgement = Judgement.read(run_dir, job.stopping())
        judge(job, judgement, is_over=lambda: True)
        return judgement

    return judged


def test_a_step_made_again_is_evaluated_again(run_dir: Path, judge_run, build, prepared) -> None:
    first = judge_run(run_dir)
    assert judge_run(run_dir).evaluations == first.evaluations  # Nothing new.
    write_again(run_dir, lambda value: np.flip(value, axis=0))  # Other rows for each value.
    second = judge_run(run_dir)
    assert [one.step for one in second.evaluations] == [38, 38]  # The best, and that of now.
    model = build()
    load_weights(model, run_dir, "last")
    expected = evaluate(model, prepared.validation).metrics
    assert second.evaluations[1].metrics == expected != first.evaluations[0].metrics
    assert second.best == first.best == identity(checkpoints(run_dir / "best")[0])


def test_a_damaged_checkpoint_is_passed_over_and_does_not_hold_up_the_end(run_dir: Path, judge_run) -> None:
    data = next((run_dir / CHECKPOINTS).glob("*.data-*"))
    content = data.read_bytes()
    data.unlink()  # A link to another test's.
    data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert judge_run(run_dir).evaluations == []
    assert not os.path.exists(run_dir / "best")
