"""keras-tuner's chief: it holds the oracle, and workers ask it for trials over gRPC."""

from __future__ import annotations

import os
import time
from concurrent import futures

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from ctrkit.errors import ConfigError
from ctrkit.tuning.oracle import SearchOracle
from ctrkit.tuning.roles import ADDRESS, PORT

LOOK_EVERY = 0.2  # Seconds; keras-tuner's own loop takes up to 21 to end, and never ends when a worker died.
LAST_WORDS = 5.0  # Seconds for workers that wait for a trial to hear that there is none left.


def serve_oracle(oracle: SearchOracle) -> None:
    """Answer workers at the address that the environment names until the last trial has ended.

    Raises `ConfigError` when the address cannot be had, and what is at fault beyond one trial.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    address = f"{os.environ[ADDRESS]}:{os.environ[PORT]}"
    try:
        taken = server.add_insecure_port(address)
    except RuntimeError:
        taken = 0
    if not taken:
        raise ConfigError(f"The tuner's chief cannot listen at {address}. Set {PORT} to a free port.")
    oracle.save()
    server.start()
    stopped_at: float | None = None
    while True:
        time.sleep(LOOK_EVERY)
        if not servicer.stop_triggered or oracle.ongoing_trials:
            stopped_at = None
            continue
        stopped_at = time.monotonic() if stopped_at is None else stopped_at
        if not oracle.tuner_ids or time.monotonic() - stopped_at > LAST_WORDS:
            break
    server.stop(LAST_WORDS).wait()
    oracle.save()
    if oracle.failure is not None:
        raise oracle.failure
