"""Ports are held for a whole run, also while the role that has one is dead."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from ctrkit.training.cluster.launch.ports import accepts, reserved_ports


def bound(port: int, *, shared: bool) -> socket.socket:
    ears = socket.socket()
    if shared:
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ears.bind(("127.0.0.1", port))
    return ears


def test_a_held_port_refuses_connections_and_strangers_until_its_role_listens() -> None:
    with reserved_ports(3) as ports:
        assert len(set(ports)) == 3
        assert not accepts(ports[0])
        with pytest.raises(OSError, match="Address already in use"):
            bound(ports[0], shared=False)
        for _ in range(2):  # Once more after the role died.
            with bound(ports[0], shared=True) as ears:
                ears.listen()
                assert accepts(ports[0])
            assert not accepts(ports[0])
    bound(ports[0], shared=False).close()


SERVER = """
import sys
import tensorflow as tf
address = f"127.0.0.1:{sys.argv[1]}"
server = tf.distribute.Server({"ps": [address]}, job_name="ps", task_index=0)
with tf.compat.v1.Session(server.target, graph=tf.Graph()) as session, session.graph.as_default():
    print("ANSWER", session.run(tf.constant(3)))
"""


@pytest.mark.slow
def test_tensorflow_listens_on_a_held_port() -> None:
    with reserved_ports(1) as (port,):
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", SERVER, str(port)],
                env={"TF_GRPC_REUSE_PORT": "true", "TF_CPP_MIN_LOG_LEVEL": "2", "PATH": ""},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert "ANSWER 3" in done.stdout, done.stderr[-2000:]
