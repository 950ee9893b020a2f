"""Waiting for parameter servers: one that does not come up is named."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import tensorflow as tf
from tensorflow.python.training import monitored_session

from ctrkit.errors import TrainingError
from ctrkit.training.cluster.lost_tasks import lost_tasks_raise, wait_until_up


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A port of this machine at which nobody listens yet."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken


def address_of(port: socket.socket) -> str:
    return f"127.0.0.1:{port.getsockname()[1]}"


def test_servers_that_listen_are_not_waited_for(port: socket.socket) -> None:
    port.listen()
    wait_until_up([address_of(port)], within=0.0, told=lambda: pytest.fail("it waited"))


def test_the_server_that_does_not_come_up_is_named(port: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        expected = rf"ps-1 \({address_of(port)}\) did not come up within 0\.3 s.*log.*cluster\.come_up_within"
        with pytest.raises(TrainingError, match=expected):
            wait_until_up([address_of(first), address_of(port)], within=0.3)


def test_a_server_that_comes_late_is_waited_for(port: socket.socket) -> None:
    looks = threading.Semaphore(0)
    thread = threading.Thread(target=lambda: (looks.acquire(timeout=5), port.listen()))
    thread.start()
    wait_until_up([address_of(port)], within=10.0, told=looks.release)
    thread.join()


def test_an_address_may_be_that_of_the_next_version_of_the_internet() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    with server:
        wait_until_up([f"[::1]:{server.getsockname()[1]}"], within=0.0)


def test_a_lost_task_ends_the_session_instead_of_opening_another() -> None:
    assert tf.errors.UnavailableError in monitored_session._PREEMPTION_ERRORS
    with lost_tasks_raise():
        sessions: list[tf.compat.v1.Session] = []

        class Lose(tf.compat.v1.train.SessionRunHook):
            def after_create_session(self, session: tf.compat.v1.Session, coord: object) -> None:
                sessions.append(session)

            def before_run(self, run_context: object) -> None:
                raise tf.errors.UnavailableError(None, None, "ps-0 is gone")

        with tf.Graph().as_default():
            step = tf.compat.v1.train.create_global_step()
            with (
                pytest.raises(tf.errors.UnavailableError),
                tf.compat.v1.train.MonitoredTrainingSession(hooks=[Lose()]) as session,
            ):
                session.run(step)
    assert len(sessions) == 1
    assert tf.errors.UnavailableError in monitored_session._PREEMPTION_ERRORS
