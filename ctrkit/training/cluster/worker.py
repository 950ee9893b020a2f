"""A worker: trains what the chief leases to it, for as long as the chief says."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import tensorflow as tf

from ctrkit.errors import ConfigError, TrainingError
from ctrkit.training.cluster.dispatch.client import DispatchClient, Joined
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.rendezvous import enter
from ctrkit.training.cluster.ending import End
from ctrkit.training.cluster.lost_tasks import TASK_LOST, wait_until_up
from ctrkit.training.cluster.options import ClusterOptions
from ctrkit.training.cluster.placement.planned import planned
from ctrkit.training.cluster.session import Share, TrainingSession, start_server
from ctrkit.training.cluster.task import PS, Task
from ctrkit.training.cluster.worker_loop import StaleError, WorkerLoop
from ctrkit.training.fit import TrainingData, training_records
from ctrkit.training.options import TrainingOptions
from ctrkit.training.resume import facts_of
from ctrkit.training.weights import described

DELAY = "CTRKIT_STEP_DELAY"  # "0.5": seconds to sleep in each step, to play a slow machine.
FRUITLESS = 20  # Sessions lost in a row without one step between them, until the worker gives up.
_log = logging.getLogger(__name__)


def work(
    model: tf.keras.Model,
    prepared: TrainingData,
    run_dir: Path,
    *,
    options: TrainingOptions,
    cluster: ClusterOptions,
    task: Task,
) -> End:
    """Train as worker `task.index` until the chief ends the training; returns how it ended.

    Raises:
        ConfigError: this task was given other options than the chief.
        IndexMismatchError: or another feature index.
        TrainingError: the chief, or a parameter server, does not come (back) in time.
    """
    records = training_records(model, prepared)
    server = start_server(task)
    client = DispatchClient(run_dir, task.role, task.index, fingerprint=prepared.fingerprint)
    with client, Heartbeats(client) as beats:
        joined = enter(client, run_dir, within=cluster.come_up_within)
        if joined.end is not None:
            return joined.end
        _check_same(joined, options, cluster)
        _check_same_model(joined, model, facts_of(prepared.fingerprint, records, options)["records"])
        share = Share(**joined.info["share"])
        placement = planned(
            model,
            prepared.index,
            batch_size=share.batch_size,
            options=options,
            ps=task.ps,
            strategy=cluster.placement,
        )
        session = TrainingSession(
            model,
            prepared,
            run_dir,
            options=options,
            cluster=cluster,
            task=task,
            placement=placement,
            share=share,
        )
        end = _train_over_losses(session, client, beats, share, cluster, task)
        client.leave()
    del server  # It cannot be stopped; it ends with the process.
    return end


def _train_over_losses(
    session: TrainingSession,
    client: DispatchClient,
    beats: Heartbeats,
    share: Share,
    cluster: ClusterOptions,
    task: Task,
) -> End:
    fruitless = 0
    while True:
        beats.say("waiting")
        if client.wait_ready(cluster.come_up_within) is None:
            break
        wait_until_up(task.cluster[PS], within=cluster.come_up_within)
        beats.say("training")
        loop = WorkerLoop(
            client,
            steps=share.steps,
            explain_nan=session.explain_nan,
            delay=float(os.environ.get(DELAY, "0")),
        )
        try:
            session.run(loop, client)
            if client.end is None:  # No batch is left, or the chief went back while this one waited for a batch.
                client.leave("waiting")
                client.wait_end(generation=client.generation)
        except (*TASK_LOST, StaleError) as error:
            fruitless = 0 if loop.trained else fruitless + 1
            reason = str(getattr(error, "message", error)).splitlines()[0][:200]
            if fruitless >= FRUITLESS:
                raise TrainingError(
                    f"{task.name} lost its session {fruitless} times in a row without a step between: {reason}. Look "
                    "at the logs of the chief and of the parameter servers."
                ) from error
            _log.warning("Session lost (%s: %s); asking the chief for another.", type(error).__name__, reason)
        if client.end is not None or client.join().end is not None:
            break
    assert client.end is not None
    return client.end


def _check_same_model(joined: Joined, model: tf.keras.Model, records: str) -> None:
    if joined.info["weights"] != described(model.weights):
        raise ConfigError(
            f"The chief trains a model of {len(joined.info['weights'])} weights, of other shapes than the "
            f"{len(model.weights)} of this task. Start all tasks with the same words."
        )
    if joined.info["records"] != records:
        raise ConfigError(
            "The chief trains on other records than this task sees. Give all tasks the same work_dir, and do not "
            "prepare while they train."
        )


def _check_same(joined: Joined, options: TrainingOptions, cluster: ClusterOptions) -> None:
    theirs, ours = joined.info["options"], options.to_dict()
    different = [name for name in ours if theirs.get(name) != ours[name]]
    for name, value in (("mode", cluster.mode), ("placement", cluster.placement)):
        if joined.info[name] != value:
            raise ConfigError(
                f"The chief trains with cluster.{name}={joined.info[name]!r}, this task got {value!r}. Start all tasks "
                "with the same words."
            )
    if different:
        name = different[0]
        raise ConfigError(
            f"The chief trains with training.{name}={theirs.get(name)!r}, this task got {ours[name]!r}. Start all "
            "tasks with the same words."
        )
