"""The line of an error that says what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from ctrkit.reasons import reason_of

# As TensorFlow writes them in a cluster.
LOST = """Graph execution error:

From /job:ps/replica:0/task:0:
Socket closed
Additional GRPC error information from remote target /job:ps/replica:0/task:0 while calling /tensorflow.WorkerService:
:{"created":"@1795466905.4","description":"Error received from peer","grpc_message":"Socket closed","grpc_status":14}"""
FULL = """Graph execution error:

Detected at node 'save/SaveV2' defined at (most recent call last):
    File "save.py", line 16, in <module>
Node: 'save/SaveV2'
Detected at node 'save/SaveV2' defined at (most recent call last):
    File "save.py", line 16, in <module>
Node: 'save/SaveV2'
=====================
OUT_OF_RANGE: From /job:ps/replica:0/task:0:
/runs/1/model.ckpt-5_temp/part-00000-of-00001; File too large
\t [[{{node save/SaveV2}}]]
====================="""
TWICE = """Graph execution error:

2 root error(s) found.
  (0) INVALID_ARGUMENT: indices[0] = 7 is not in [0, 3)
\t [[{{node gather}}]]
\t [[Mean/_5]]
  (1) INVALID_ARGUMENT: indices[0] = 7 is not in [0, 3)
\t [[{{node gather}}]]"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LOST, "Socket closed"),
        (FULL, "/runs/1/model.ckpt-5_temp/part-00000-of-00001; File too large"),
        (TWICE, "indices[0] = 7 is not in [0, 3)"),
        ("The session was closed.", "The session was closed."),
        ("Graph execution error:\n", "Graph execution error:"),
        ("", "UnavailableError"),
    ],
)
def test_what_tensorflow_writes_around_it_is_left_out(text: str, reason: str) -> None:
    assert reason_of(tf.errors.UnavailableError(None, None, text)) == reason


def in_a_session() -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        session.run(tf.gather(tf.constant([1, 2, 3]), tf.identity([7])))


def in_a_function() -> None:
    tf.function(lambda at: tf.gather([1, 2, 3], at))(tf.constant([7]))


@pytest.mark.parametrize("fail", [in_a_session, in_a_function, lambda: tf.gather([1, 2, 3], [7])])
def test_a_real_error_is_told_by_its_reason(fail: Callable[[], Any]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        fail()
    assert reason_of(raised.value).startswith("indices[0] = 7 is not in [0, 3)")


def test_errors_of_others_are_told_as_they_are(tmp_path: Path) -> None:
    assert reason_of(ValueError("a\nb")) == "a"
    assert reason_of(ValueError()) == "ValueError"
    assert len(reason_of(ValueError("x" * 1000))) == 200
    with pytest.raises(OSError) as raised:
        (tmp_path / "none").read_text()
    assert "No such file" in reason_of(raised.value)
