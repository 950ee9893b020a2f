"""The signature that gives the feature index away, as TensorFlow itself computes it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.export import index_signature as module
from ctrkit.export.index_signature import AT_ONCE, CONTENTS, index_signature
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Categorical, Schema


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with the signature alone, moved after it was written, and its index in parts of 1,000 bytes."""
    folder = tmp_path_factory.mktemp("saved")
    values = [f"value {k}" for k in range(2_000)]
    index = FeatureIndex(
        Schema(label="y", features=(Categorical(name="item"),)), {"item": Vocabulary.of(values, [1] * 2_000)}, {}
    )
    index.save(folder / "first" / "assets" / "feature_index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART_BYTES", 1_000)
        carried = index_signature(index, folder / "first" / "assets" / "feature_index", folder / CONTENTS)
    holder = tf.Module()
    holder.contents = carried.asset
    tf.saved_model.save(holder, str(folder / "first"), signatures={"feature_index": carried.function.concrete})
    (folder / CONTENTS).unlink()
    shutil.move(folder / "first", folder / "second")
    return folder / "second"


def test_the_parts_are_the_files_of_the_index(saved: Path) -> None:
    ask = tf.saved_model.load(str(saved)).signatures["feature_index"]
    contents = json.loads(ask(part=tf.constant([0], tf.int64))["bytes"].numpy()[0])
    assert contents["fingerprint"] == FeatureIndex.load(saved / "assets" / "feature_index").fingerprint
    part = 1
    assert len(contents["files"]) == 2
    for file in contents["files"]:
        count = -(-file["bytes"] // contents["part_bytes"])
        pieces = [ask(part=tf.constant([number], tf.int64))["bytes"].numpy()[0] for number in range(part, part + count)]
        whole = b"".join(pieces)
        assert whole == (saved / "assets" / "feature_index" / file["path"]).read_bytes()
        assert hashlib.sha256(whole).hexdigest() == file["sha256"]
        part += count
    assert part > 40
    with pytest.raises(tf.errors.InvalidArgumentError):
        ask(part=tf.constant([part], tf.int64))


def test_requests_that_a_server_put_together_get_the_answers_of_each(saved: Path) -> None:
    ask = tf.saved_model.load(str(saved)).signatures["feature_index"]
    alone = [ask(part=tf.constant([part], tf.int64))["bytes"].numpy()[0] for part in (3, 0, 5)]
    assert ask(part=tf.constant([3, 0, 5], tf.int64))["bytes"].numpy().tolist() == alone
    many = ask(part=tf.constant(np.full(AT_ONCE + 5, 2), tf.int64))["bytes"].numpy().tolist()
    assert [bool(piece) for piece in many] == [True] * AT_ONCE + [False] * 5
