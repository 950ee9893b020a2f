"""What goes wrong while a checkpoint is written: whose fault it is, and that nothing half-written stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from ctrkit.errors import ArtifactError
from ctrkit.training.checkpoint import Checkpoint
from ctrkit.training.cluster.lost_tasks import TASK_LOST
from ctrkit.training.saving import writing


def fail(checkpoint: Checkpoint, error: Exception, passed_on: tuple[type[Exception], ...]) -> None:
    with writing(checkpoint, passed_on=passed_on):
        part = Path(f"{checkpoint.prefix}_temp") / "part-00000-of-00002"
        part.parent.mkdir()
        part.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("kind", TASK_LOST)
def test_a_lost_task_is_no_fault_of_the_disk(kind: type[tf.errors.OpError], tmp_path: Path) -> None:
    with pytest.raises(kind, match="Socket closed"):
        fail(Checkpoint(tmp_path, 5), kind(None, None, "Graph execution error:\n\nSocket closed"), TASK_LOST)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tf.errors.NotFoundError, tf.errors.UnknownError, tf.errors.ResourceExhaustedError])
def test_an_error_that_names_a_file_of_the_checkpoint_is_the_disks(kind: type[Exception], tmp_path: Path) -> None:
    """As on a parameter server that does not share the folder of the run."""
    checkpoint = Checkpoint(tmp_path, 5)
    reason = f"{checkpoint.prefix}_temp/part-00001-of-00002.tempstate1; No such file or directory"
    error = kind(None, None, f"Graph execution error:\n\nFrom /job:ps/replica:0/task:0:\n{reason}\n")
    with pytest.raises(ArtifactError, match=r"Cannot write the checkpoint of step 5 .*No such file or directory"):
        fail(checkpoint, error, TASK_LOST)
    assert list(tmp_path.iterdir()) == []


def test_alone_a_machine_has_no_tasks_to_lose(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"Cannot write the checkpoint of step 5 .*: Socket closed"):
        fail(Checkpoint(tmp_path, 5), tf.errors.UnavailableError(None, None, "Socket closed"), ())
    with pytest.raises(ArtifactError, match=r"Cannot write the checkpoint of step 5 .*: No space left"):
        fail(Checkpoint(tmp_path, 5), OSError(28, "No space left on device"), TASK_LOST)
    assert list(tmp_path.iterdir()) == []
