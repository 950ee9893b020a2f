"""A worker: trains what the chief leases to it, for as long as the chief says."""

from __future__ import annotations

import logging
import os

from ctrkit.errors import TrainingError
from ctrkit.reasons import reason_of
from ctrkit.training.cluster.agreement import check_agrees
from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.heartbeats import Heartbeats
from ctrkit.training.cluster.dispatch.rendezvous import enter
from ctrkit.training.cluster.ending import End
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.lost_tasks import TASK_LOST, wait_until_up
from ctrkit.training.cluster.session import TrainingSession, start_server
from ctrkit.training.cluster.share import Share
from ctrkit.training.cluster.task import PS
from ctrkit.training.cluster.worker_loop import StaleError, WorkerLoop

DELAY = "CTRKIT_STEP_DELAY"  # "0.5": seconds to sleep in each step, to play a slow machine.
FRUITLESS = 20  # Sessions lost in a row without one step between them, until the worker gives up.
_log = logging.getLogger(__name__)


def work(job: Job) -> End:
    """Train as worker `task.index` until the chief ends the training; returns how it ended.

    Raises:
        ConfigError: this task was given other options than the chief.
        IndexMismatchError: or another feature index.
        TrainingError: the chief, or a parameter server, does not come (back) in time.
    """
    _ = job.records  # Raises before anybody waits for this task.
    server = start_server(job.task)
    with job.client() as client, Heartbeats(client) as beats:
        joined = enter(client, job.run_dir, within=job.cluster.come_up_within)
        if joined.end is not None:
            return joined.end
        check_agrees(job, joined.info)
        share = Share(**joined.info["share"])
        session = TrainingSession(job, placement=job.placement(share), share=share)
        end = train_over_losses(job, session, client, beats, steps=share.steps)
        client.leave()
    del server  # It cannot be stopped; it ends with the process.
    return end


def train_over_losses(
    job: Job, session: TrainingSession, client: DispatchClient, beats: Heartbeats, *, steps: int
) -> End:
    """Open one session after the other until the chief ends the training; returns how it ended."""
    fruitless = 0
    while True:
        beats.say("waiting")
        if client.wait_ready(job.cluster.come_up_within) is None:
            break
        wait_until_up(job.task.cluster[PS], within=job.cluster.come_up_within)
        beats.say("training")
        delay = float(os.environ.get(DELAY, "0"))
        loop = WorkerLoop(client, steps=steps, explain_nan=session.explain_nan, delay=delay)
        try:
            session.run(loop, client)
            if client.end is None:  # No batch is left, or the chief went back while this one waited for a batch.
                client.leave("waiting")
                client.wait_end(generation=client.generation)
        except (*TASK_LOST, StaleError) as error:
            fruitless = 0 if loop.trained else fruitless + 1
            if fruitless >= FRUITLESS:
                raise TrainingError(
                    f"{job.task.name} lost its session {fruitless} times in a row without a step between: "
                    f"{reason_of(error)}. Look at the logs of the chief and of the parameter servers."
                ) from error
            _log.warning("Session lost (%s: %s); asking the chief for another.", type(error).__name__, reason_of(error))
        finally:
            loop.close()
        if client.end is not None or client.join().end is not None:
            break
    assert client.end is not None
    return client.end
