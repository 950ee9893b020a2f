"""Runs of a model whose weights are in parts, on records with a sequence: a cluster's chief in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.layers import splittable
from ctrkit.progress import progress
from ctrkit.records import Records
from ctrkit.training import load_weights
from ctrkit.training.checkpoint import CHECKPOINTS
from ctrkit.training.early_stopping import EarlyStopping
from ctrkit.training.estimator import TrainingGraph, build_estimator, quiet_tensorflow, run_config
from ctrkit.training.interrupt import StopRequest
from ctrkit.training.keras_classes import keras_classes_kept
from ctrkit.training.loop import Plan, TrainingLoop
from ctrkit.training.resume import resume
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter
from ctrkit.training.weights import described
from tests.layers.index import random_ids, small_index
from tests.training.runs import options, weights_of

ROWS = 4_000


def write_records(directory: Path) -> SimpleNamespace:
    """Random rows of an index with every kind of feature, with labels that depend on them."""
    from ctrkit.records import RecordWriter

    index = small_index()
    ids = random_ids(index, ROWS, seed=5)
    labels = (ids.sum(axis=1) % 3 == 0).astype("float32")
    with RecordWriter(directory, fingerprint=index.fingerprint, width=index.width) as writer:
        writer.write(ids, labels)
    return SimpleNamespace(index=index, fingerprint=index.fingerprint, train=Records.open(directory), validation=None)


def run_in_parts(
    model: tf.keras.Model,
    prepared: Any,
    run_dir: Path,
    parts: Mapping[int, int],
    *,
    steps: int,
    on_graph: Callable[[TrainingGraph], None] = lambda graph: None,
    sharded_files: bool = False,
    session_config: tf.compat.v1.ConfigProto | None = None,
    device_fn: Callable[[tf.Operation], str] | None = None,
    **changes: Any,
) -> list[np.ndarray]:
    """Train up to `steps`, resuming what `run_dir` holds; returns the weights of the last checkpoint, whole."""
    chosen = options(batch_size=128, **changes)
    state = RunState(EarlyStopping(metric=None, patience=None))
    resume(model, run_dir, state, prepared.fingerprint, parts)
    writer = CheckpointWriter(
        run_dir, keep=2, fingerprint=prepared.fingerprint, weights=described(model.weights), parts=parts
    )
    plan = Plan(
        steps=steps,
        batch_size=chosen.batch_size,
        evaluate_every=1000,
        evaluation_batch_size=512,
        checkpoint_every=10,
        log_every=1000,
    )
    with keras_classes_kept(), quiet_tensorflow(), progress("training") as shown:
        loop = TrainingLoop(
            plan,
            state,
            writer=writer,
            validation=None,
            stop=StopRequest(),
            start_progress=lambda: shown,
            observer=None,
            explain_nan=lambda *_: AssertionError("not a number"),
        )

        def use(graph: TrainingGraph) -> None:
            loop.use(graph)
            on_graph(graph)

        config = run_config(chosen, run_dir / CHECKPOINTS, session_config=session_config, device_fn=device_fn)
        estimator = build_estimator(model, chosen, config, on_graph=use, parts=parts, sharded_files=sharded_files)
        estimator.train(
            lambda: prepared.train.dataset(
                chosen.batch_size, shuffle=True, seed=chosen.seed, epochs=None, skip_batches=state.step
            ),
            hooks=[loop],
        )
    load_weights(model, run_dir, "last")
    return weights_of(model)


def all_in(model: tf.keras.Model, parts: int) -> dict[int, int]:
    """Every weight that can be split into so many parts."""
    return {place: parts for place in splittable(model) if model.weights[place].shape[0] >= parts}
