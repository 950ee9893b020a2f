"""`ctrkit train` as one task of a cluster: its role is in `TF_CONFIG`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from omegaconf import DictConfig

from ctrkit.commands.card import update_card
from ctrkit.commands.cluster_placement import compare, draw, model_items
from ctrkit.commands.instantiating import make
from ctrkit.commands.prepare import prepare_log
from ctrkit.commands.run_origin import note_origin
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.train import build, choose_run, log_result, name_warm_start, show_result
from ctrkit.commands.workspace import RUNS, save_config, work_dir
from ctrkit.errors import ConfigError
from ctrkit.training.cluster.dispatch.rendezvous import announce, find, withdraw
from ctrkit.training.cluster.ending import End, exit_status
from ctrkit.training.cluster.options import NONE, ClusterOptions
from ctrkit.training.cluster.task import CHIEF, PS, VARIABLE, Task


def task_of(config: DictConfig) -> Task | None:
    """The task of a cluster that this process is; None on one machine.

    Raises `ConfigError` where the configuration asks for a cluster that nobody started.
    """
    task = Task.from_environment()
    if config.cluster.mode == NONE:
        if task is not None:
            raise ConfigError(
                f"{VARIABLE} says that this is {task.name} of a cluster, but cluster.mode is none. Type "
                f"training=async_ps or training=sync_ps; or unset {VARIABLE} to train on this machine alone."
            )
        return None
    if task is None:
        raise ConfigError(
            f"cluster.mode is {config.cluster.mode}, but {VARIABLE} names no cluster. Start one on this machine with "
            "`ctrkit cluster train …` and the same words; or type training=local for one machine alone."
        )
    os.environ[VARIABLE] = task.to_json()  # TensorFlow reads it again, and does not know the older words.
    return task


def run_task(config: DictConfig, task: Task) -> None:
    """Play the role of `task` to the end of the training.

    Raises `SystemExit` with `EXIT_NOT_TRAINED` where the chief ended it otherwise than trained: a scheduler must not
    take this task to be done.
    """
    options: ClusterOptions = make(config.cluster)
    name_warm_start(config)
    if task.role == CHIEF:
        _lead(config, task, options)
        return
    end = _follow(config, task, options)
    status = exit_status(end)
    if status:
        print(f"{task.name}: the chief ended the training: {end['status']} ({end['reason']})", file=sys.stderr)
        raise SystemExit(status)


def _follow(config: DictConfig, task: Task, options: ClusterOptions) -> End:
    """Do what a task other than the chief does; returns how the chief ended the training."""

    def found() -> Path:
        if config.run is not None:
            return work_dir(config) / RUNS / str(config.run)
        return find(work_dir(config), task, within=options.come_up_within)

    if task.role == PS:
        from ctrkit.training.cluster.server import hold_variables

        return hold_variables(task, found, options)
    from ctrkit.records import Prepared
    from ctrkit.training.cluster.train import train_on_cluster

    run_dir = found()
    prepared = Prepared.open(work_dir(config))
    model = build(config, prepared)
    end = train_on_cluster(model, prepared, run_dir, task=task, options=make(config.training), cluster=options)
    assert isinstance(end, dict)  # Only the chief has a result.
    return end


def _lead(config: DictConfig, task: Task, options: ClusterOptions) -> None:
    folder = work_dir(config)
    withdraw(folder, task)
    prepared = prepare_log(config)
    run_dir = choose_run(config, prepared.fingerprint)
    announce(folder, task, run_dir)
    from ctrkit.training.cluster.train import train_on_cluster

    model = build(config, prepared)
    resolved = save_config(config, run_dir)
    note_origin(config, run_dir, prepared)
    tags = {"ctrkit.run_dir": str(run_dir), "ctrkit.cluster": f"{options.mode}, {task.workers} workers, {task.ps} ps"}
    with tracked_run(config, run_dir, attach=False, tags=tags) as tracker:
        tracker.log_params(resolved)
        tracker.log_index(prepared.index)
        result = train_on_cluster(
            model, prepared, run_dir, task=task, options=make(config.training), cluster=options, observer=tracker
        )
        assert not isinstance(result, dict)  # The chief alone has a result.
        log_result(tracker, run_dir, result)
        picture = run_dir / "placement.png"
        rows = options.ticket_rows(int(config.training.batch_size), task.workers)
        items = model_items(config, prepared, make(config.training), rows=rows)
        draw(compare(items, task.ps), picture, name=model.name)
        tracker.log_file(picture, "plots")
        update_card(config, run_dir, tracker)
    show_result(run_dir, result)
