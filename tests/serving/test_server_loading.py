"""What a server does before it answers: versions, checks, warmup; and what it refuses to load."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving import Connection, Server, ServingOptions
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.warmup import WARMUP_FILE, warmup_requests
from ctrkit.serving.wire import pack


@pytest.fixture
def copy(export: Path, tmp_path: Path) -> Path:
    """A copy of the export to damage."""
    return Path(shutil.copytree(export, tmp_path / "export" / "1"))


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that counts how often it was called; each call does `work` steps."""
    import tensorflow as tf

    class Counter(tf.Module):
        def __init__(self) -> None:
            self.calls = tf.Variable(0)

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="work")])
        def call(self, work):  # type: ignore[no-untyped-def]
            done = tf.while_loop(lambda i: i < work, lambda i: [i + 1], [tf.constant(0)])[0]
            return {"calls": self.calls.assign_add(1), "done": done}

    path = tmp_path_factory.mktemp("counter") / "1"
    module = Counter()
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.call})
    return path


def write_warmup(saved_model: Path, works: list[int]) -> None:
    import tensorflow as tf

    (saved_model / WARMUP_FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(saved_model / WARMUP_FILE)) as writer:
        for work in works:
            log = prediction_pb2.PredictionLog()
            pack(np.array(work, np.int32), log.predict_log.request.inputs["work"], "work")
            writer.write(log.SerializeToString())


def test_the_latest_version_is_served_and_unfinished_ones_are_not_seen(strings: Path, tmp_path: Path) -> None:
    base = tmp_path / "versions"
    for name in ("9", "10", ".11.incomplete-1-x", "latest"):
        shutil.copytree(strings, base / name)
    (base / "12").mkdir()  # Somebody is copying by hand: no saved_model.pb yet.
    with Server(base, require_index=False) as server:
        assert server.version == 10


def test_a_versions_own_directory_can_be_served_too(strings: Path) -> None:
    with Server(strings, require_index=False) as server:
        assert server.version == 7


@pytest.mark.parametrize(("name", "text"), [("absent", "does not exist"), ("empty", "holds no version")])
def test_no_version_to_serve(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServingError, match=rf"{name} {text} .expected e\.g\. .*saved_model\.pb.*`ctrkit export`"):
        Server(tmp_path / name).start()


def test_a_saved_model_without_an_index_is_refused(strings: Path) -> None:
    with pytest.raises(
        ServingError, match=r"has no feature index .assets/feature_index.*ctrkit export.*--any-saved-model"
    ):
        Server(strings).start()


def test_an_index_of_another_model_is_refused(copy: Path, other_index: FeatureIndex) -> None:
    shutil.rmtree(copy / "assets" / "feature_index")
    other_index.save(copy / "assets" / "feature_index")
    with pytest.raises(
        IndexMismatchError, match=r"trained with index \w{12}, but carries index \w{12}.*Export the model again"
    ):
        Server(copy).start()


def test_a_model_whose_weights_changed_after_its_export_is_refused(copy: Path) -> None:
    data = copy / "variables" / "variables.data-00000-of-00001"
    manifest = json.loads((copy / "assets.extra" / "ctrkit.json").read_text())
    manifest["golden"]["scores"][2] += 0.01
    (copy / "assets.extra" / "ctrkit.json").write_text(json.dumps(manifest))
    with pytest.raises(ServingError, match=r"golden row 2 scores 0\.\d+, but scored .* when it was exported"):
        Server(copy).start()
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ServingError, match=r"Loading .*"):
        Server(copy).start()


def test_a_broken_graph_is_refused_with_tensorflows_reason(copy: Path) -> None:
    (copy / "saved_model.pb").write_bytes(b"\xff\xff not a graph")
    with pytest.raises(ServingError, match=r"Loading .*/1: .*"):
        Server(copy).start()


def test_a_missing_manifest_is_refused(copy: Path) -> None:
    (copy / "assets.extra" / "ctrkit.json").unlink()
    with pytest.raises(ArtifactError, match=r"no assets\.extra/ctrkit\.json.*ctrkit export"):
        Server(copy).start()


def test_warmup_requests_are_replayed_before_the_first_answer(counter: Path) -> None:
    write_warmup(counter, [1, 2, 3])
    for warmup, expected in ((True, 3 + 1), (False, 1)):  # The last is this test's own call.
        options = ServingOptions(require_index=False, warmup=warmup, workers=2)
        with Server(counter, options) as server, Connection(server.target) as connection:
            answer = connection.predict("serving_default", {"work": np.int32(0)}, deadline=20)
            assert int(answer.outputs["calls"]) == expected


def test_a_model_is_announced_only_when_it_is_warm(counter: Path) -> None:
    write_warmup(counter, [200_000])  # About a second of work.
    server = Server(counter, require_index=False)
    starting = threading.Thread(target=server.start)
    starting.start()
    while server._port is None:
        time.sleep(0.005)
    seen: list[str] = []
    refusals, answered = set(), 0
    with Connection(server.target, deadline=20) as connection:
        while not seen or seen[-1] != "AVAILABLE":
            with contextlib.suppress(ServingError):  # Nothing was seen yet.
                seen += [one.state for one in connection.status()]
            if seen and seen[-1] == "LOADING":
                try:
                    connection.predict("serving_default", {"work": np.int32(0)}, deadline=0.2)
                    answered += 1  # It became available meanwhile.
                except ServingError as error:
                    refusals.add(str(error))
            time.sleep(0.01)
        assert "LOADING" in seen
        assert any("UNAVAILABLE: Model 'ctr' is still loading; try again" in text for text in refusals)
        assert int(connection.predict("serving_default", {"work": np.int32(0)}).outputs["calls"]) == 1 + answered + 1
    starting.join()
    server.stop()
    (state,) = server.models.states("ctr")
    assert (state.version, state.state) == (1, prediction_pb2.ModelVersionStatus.END)


def test_the_exports_own_warmup_covers_buckets_and_signatures(export: Path) -> None:
    requests = list(warmup_requests(export))
    assert {request.model_spec.signature_name for request in requests} == {
        "serving_default",
        "rank",
        "named",
        "fingerprint",
    }
    sizes = {r.inputs["item_ids"].tensor_shape.dim[0].size for r in requests if r.model_spec.signature_name == "rank"}
    assert sizes == {1, 10}


def test_a_damaged_warmup_file_is_named(copy: Path) -> None:
    file = copy / WARMUP_FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with pytest.raises(ServingError, match=r"tf_serving_warmup_requests is cut short at byte"):
        Server(copy).start()
    file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    with pytest.raises(ServingError, match=r"record at byte 0 has a wrong checksum.*Export the model again"):
        Server(copy).start()


def test_a_warmup_request_that_fails_stops_the_start(counter: Path) -> None:
    import tensorflow as tf

    log = prediction_pb2.PredictionLog()
    pack(np.array([1.0], np.float32), log.predict_log.request.inputs["work"], "work")
    with tf.io.TFRecordWriter(str(counter / WARMUP_FILE)) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(ServingError, match=r"request 0 failed: .*got float32 \[1\], expected int32 \[\].*--no-warmup"):
        Server(counter, require_index=False).start()


@pytest.mark.parametrize(
    ("option", "text"),
    [({"workers": 0}, "`workers` is 0"), ({"port": 70000}, "`port` is 70000"), ({"name": ""}, "`name` is empty")],
)
def test_options_are_checked(option: dict, text: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=text):
        ServingOptions(**option)
