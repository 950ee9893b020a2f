"""Checkpoints of runs in parts: they load whole, go on in other parts, and survive what happens meanwhile."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from ctrkit.errors import ArtifactError
from ctrkit.export import export_model
from ctrkit.layers import cut
from ctrkit.training import load_weights
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, checkpoints, newest_whole
from ctrkit.training.early_stopping import EarlyStopping
from ctrkit.training.recut import recut
from ctrkit.training.resume import resume
from ctrkit.training.run_state import RunState
from ctrkit.training.saving import CheckpointWriter
from tests.layers.index import random_ids
from tests.training.cut_runs import all_in, run_in_parts
from tests.training.runs import weights_of
from tests.training.test_parts import plain


@pytest.fixture(scope="module")
def undisturbed(sequences, tmp_path_factory) -> list[np.ndarray]:
    model = plain(sequences.index)
    return run_in_parts(model, sequences, tmp_path_factory.mktemp("undisturbed"), {}, steps=20)


@pytest.fixture(scope="module")
def in_three(sequences, tmp_path_factory) -> Path:
    """A run of 10 steps in three parts."""
    run_dir = tmp_path_factory.mktemp("three")
    model = plain(sequences.index)
    run_in_parts(model, sequences, run_dir, all_in(model, 3), steps=10)
    return run_dir


def copy_of(run_dir: Path, to: Path) -> Path:
    for folder in ("checkpoints", "best"):
        (to / folder).mkdir(parents=True)
        for path in (run_dir / folder).iterdir():
            (to / folder / path.name).write_bytes(path.read_bytes())
    return to


def tensors(checkpoint) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(checkpoint.prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_a_checkpoint_in_parts_loads_into_the_whole_model(sequences, in_three) -> None:
    model = plain(sequences.index)
    parts = all_in(model, 3)
    assert load_weights(model, in_three, "last") == load_weights(model, in_three, "best") == 10
    held = tensors(checkpoints(in_three / CHECKPOINTS)[0])
    pieces = iter(cut(weights_of(model), parts))
    for place in range(len(model.weights)):
        names = [f"weights/{place}/part_{part}" for part in range(3)] if place in parts else [f"weights/{place}"]
        for name in names:
            np.testing.assert_array_equal(held.pop(name), next(pieces))
    kinds = {re.sub(r"\d+", "#", name) for name in held}
    assert kinds == {
        "global_step",
        "slots/#/accumulator/part_#",
        *(f"slots/#/{slot}{part}" for slot in "mv" for part in ("", "/part_#")),
    }


@pytest.mark.parametrize("parts", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow)])
def test_a_run_goes_on_in_another_number_of_parts(parts: int, sequences, undisturbed, in_three, tmp_path) -> None:
    run_dir = copy_of(in_three, tmp_path)
    model = plain(sequences.index)
    found = run_in_parts(model, sequences, run_dir, all_in(model, parts), steps=20)
    for got, expected in zip(found, undisturbed, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)
    newest = checkpoints(run_dir / CHECKPOINTS)[0]
    assert (newest.step, newest.again) == (20, 0)
    assert set(newest.stamp().parts.values()) == ({parts} if parts > 1 else set())


@pytest.mark.slow
def test_a_run_in_parts_exports_what_a_run_of_one_machine_exports(sequences, undisturbed, in_three, tmp_path) -> None:
    inputs = random_ids(sequences.index, 9)
    forms, scores = [], []
    for name in ("whole", "parts"):
        model = plain(sequences.index)
        if name == "whole":
            run_in_parts(model, sequences, tmp_path / "run", {}, steps=10)
        load_weights(model, in_three if name == "parts" else tmp_path / "run", "last")
        served = export_model(model, sequences.index, tmp_path / name)
        meta = saved_model_pb2.SavedModel.FromString((served / "saved_model.pb").read_bytes()).meta_graphs[0]
        forms.append((dict(meta.signature_def), sorted(node.op for node in meta.graph_def.node)))
        loaded = tf.saved_model.load(str(served)).signatures["serving_default"]
        (found,) = loaded(ids=tf.constant(inputs)).values()
        scores.append(found.numpy())
    assert forms[0] == forms[1]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_each_device_may_write_a_file_of_its_own(sequences, undisturbed, tmp_path) -> None:
    """Two devices of this process in the place of two parameter servers."""

    def place(op: tf.Operation) -> str:
        return f"/device:CPU:{'part_1' in op.name:d}" if op.type in ("VarHandleOp", "VariableV2") else ""

    model = plain(sequences.index)
    parts = all_in(model, 2)
    two = tf.compat.v1.ConfigProto(device_count={"CPU": 2}, allow_soft_placement=True)
    start = {"parts": parts, "sharded_files": True, "session_config": two, "device_fn": place}
    run_in_parts(model, sequences, tmp_path, steps=10, **start)
    (checkpoint, *_) = checkpoints(tmp_path / CHECKPOINTS)
    assert [path.name for path in checkpoint.files()] == [
        *(f"model.ckpt-10.data-0000{number}-of-00003" for number in (0, 1, 2)),  # The step has no device here.
        "model.ckpt-10.index",
        "model.ckpt-10.json",
    ]
    assert set(checkpoint.verified().files) == {path.name for path in checkpoint.files()} - {"model.ckpt-10.json"}
    found = run_in_parts(plain(sequences.index), sequences, tmp_path, steps=20, **start)
    for got, expected in zip(found, undisturbed, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_run_of_one_machine_goes_on_in_parts(sequences, undisturbed, tmp_path) -> None:
    model = plain(sequences.index)
    run_in_parts(model, sequences, tmp_path, {}, steps=10)
    found = run_in_parts(plain(sequences.index), sequences, tmp_path, all_in(model, 2), steps=20)
    for got, expected in zip(found, undisturbed, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)


def test_cutting_back_and_forth_changes_no_number(sequences, in_three, tmp_path) -> None:
    run_dir = copy_of(in_three, tmp_path)
    (first, *_) = checkpoints(run_dir / CHECKPOINTS)
    parts = all_in(plain(sequences.index), 3)
    whole = recut(first, {})
    assert not [name for name in tensors(whole) if "part_" in name]
    again = recut(recut(whole, {0: 2, 1: 7}), parts)
    assert again.again == 3
    expected, found = tensors(first), tensors(again)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert again.verified().parts == first.stamp().parts == {str(place): 3 for place in parts}
    assert newest_whole(run_dir / CHECKPOINTS)[0] == again


def test_tables_that_do_not_fit_into_one_file_are_written_in_several(in_three, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ctrkit.training.recut.FILE_BYTES", 300)
    run_dir = copy_of(in_three, tmp_path)
    (first, *_) = checkpoints(run_dir / CHECKPOINTS)
    new = recut(first, {})
    assert len([path for path in new.files() if ".data-" in path.name]) > 3
    new.verified()
    assert not list((run_dir / CHECKPOINTS).glob("*_temp"))
    np.testing.assert_array_equal(tensors(new)["weights/0"][1::3], tensors(first)["weights/0/part_1"])


def test_until_the_new_cut_is_whole_the_old_one_is_there(sequences, in_three, tmp_path) -> None:
    """A disk that fills up (a limit on the size of files stands in for it) and files that a kill left."""
    run_dir = copy_of(in_three, tmp_path)
    directory = run_dir / CHECKPOINTS
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(ArtifactError, match=r"Cannot write the checkpoint of step 10 .*free some space"):
            recut(checkpoints(directory)[0], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    (directory / "model.ckpt-10.again-1_temp").mkdir()
    (directory / "model.ckpt-10.again-1_temp" / "part-00000.data-00000-of-00001").write_bytes(b"half")
    (directory / "model.ckpt-10.again-1.index").write_bytes(b"half")
    assert resume(plain(sequences.index), run_dir, RunState(EarlyStopping(None, None)), sequences.fingerprint, {})
    (only,) = checkpoints(directory)
    assert (only.step, only.again) == (10, 1)
    only.verified()
    assert not list(directory.glob("*_temp"))


def test_a_step_that_is_saved_twice_replaces_itself_only_when_it_is_whole(in_three, tmp_path) -> None:
    run_dir = copy_of(in_three, tmp_path)
    (first,) = checkpoints(run_dir / CHECKPOINTS)
    state = RunState(EarlyStopping(None, None), step=10)
    writer = CheckpointWriter(run_dir, keep=2, fingerprint="", weights=[])
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("x", initializer=3.0)
        writer.use(tf.compat.v1.train.Saver({"global_step": variable}))
        with pytest.raises(ArtifactError, match="Cannot write the checkpoint of step 10"):
            writer.save(session, state, is_best=False)  # Not initialized.
        assert checkpoints(run_dir / CHECKPOINTS) == [first]
        first.verified()
        session.run(variable.initializer)
        for again in (1, 2):
            writer.save(session, state, is_best=True)
            (only,) = checkpoints(run_dir / CHECKPOINTS)
            assert only.again == again
            assert [path.name for path in only.files()] == sorted(path.name for path in (run_dir / BEST).iterdir())


def test_a_checkpoint_that_lacks_a_part_is_refused(sequences, in_three, tmp_path) -> None:
    run_dir = copy_of(in_three, tmp_path)
    stamp = next((run_dir / CHECKPOINTS).glob("*.json"))
    content = json.loads(stamp.read_text())
    stamp.write_text(json.dumps({**content, "parts": {**content["parts"], "0": 5}}))
    with pytest.raises(ArtifactError, match=r"does not hold weights/0/part_3"):
        load_weights(plain(sequences.index), run_dir, "last")
    stamp.write_text(json.dumps({**content, "format_version": 1}))
    with pytest.raises(ArtifactError, match=r"has format version 1, this ctrkit reads 2\. Train again"):
        load_weights(plain(sequences.index), run_dir, "last")
