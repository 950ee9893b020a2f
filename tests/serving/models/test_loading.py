"""What happens between a version's folder and its first request: warmup requests are replayed, all kinds of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import RequestError, ServingError
from ctrkit.serving.models import VersionLoader
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.servable import Servable
from ctrkit.serving.warmup import WARMUP_FILE, warmup_records, warmup_requests
from ctrkit.serving.wire import pack

Put = Callable[..., Path]


@pytest.fixture
def path(put: Put) -> Path:
    """A small SavedModel whose warmup file can be written."""
    copied: Path = put(1)
    (copied / WARMUP_FILE).parent.mkdir()
    return copied


def write(path: Path, records: list[bytes]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
        for record in records:
            writer.write(record)


def predict_record(signature: str = "lookup") -> bytes:
    log = prediction_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    pack(np.array([[1, 2]], np.int32), log.predict_log.request.inputs["rows"], "rows")
    return log.SerializeToString()


def of_kind(number: int, request: bytes) -> bytes:
    """A PredictionLog with `request` (under 120 bytes) in the log that has this field number."""
    inside = bytes([1 << 3 | 2, len(request)]) + request
    return bytes([number << 3 | 2, len(inside)]) + inside


class Heard(list[tuple[str, bytes, str]]):
    """Answers of every kind that only note what they were asked."""

    def of(self, kind: str) -> Callable[[bytes, Servable, str], None]:
        return lambda request, servable, model: self.append((kind, request, model))


def test_each_record_goes_the_way_of_its_kind_and_the_others_are_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, [predict_record(), *(of_kind(n, b"request %d" % n) for n in (2, 3, 4, 5, 7, 5)), predict_record()])
    heard = Heard()
    kinds = ("predict_log", "classify_log", "regress_log")
    VersionLoader(answers={kind: heard.of(kind) for kind in kinds}, require_index=False)(path, 1, "m").close()
    assert [kind for kind, *_ in heard] == ["predict_log", "classify_log", "regress_log", "predict_log"]
    assert heard[1:3] == [("classify_log", b"request 2", "m"), ("regress_log", b"request 3", "m")]
    request = prediction_pb2.PredictRequest.FromString(heard[0][1])
    assert request.model_spec.signature_name == "lookup"
    assert "2 warmup records of kind session_run_log are not replayed here" in caplog.text
    assert "1 warmup records of kind multi_inference_log" in caplog.text
    assert "1 warmup records of kind predict_streamed_log" in caplog.text


def test_official_messages_write_what_is_read_here(path: Path) -> None:
    official = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    one, other = official.PredictionLog(), official.PredictionLog()
    one.predict_log.request.model_spec.signature_name = "rank"
    other.regress_log.request.model_spec.name = "ctr"
    write(path, [one.SerializeToString(), other.SerializeToString()])
    assert [record.kind for record in warmup_records(path)] == ["predict_log", "regress_log"]
    (request,) = warmup_requests(path)
    assert request.model_spec.signature_name == "rank"


@pytest.mark.parametrize(("count", "refused"), [(1000, False), (1001, True)])
def test_a_thousand_records_are_replayed_and_no_more(path: Path, count: int, refused: bool) -> None:
    write(path, [of_kind(6, b"")] * count)
    assert len(list(zip(range(1000), warmup_records(path), strict=False))) == 1000
    if refused:
        with pytest.raises(ServingError, match=r"Number of warmup records exceeds the maximum \(1000\) at .*Keep one"):
            list(warmup_records(path))
    else:
        assert len(list(warmup_records(path))) == 1000


def test_a_record_that_is_no_log_is_named(path: Path) -> None:
    write(path, [of_kind(6, b""), b"\xff\xff\xff"])
    with pytest.raises(ServingError, match=r"tf_serving_warmup_requests: record 1 is not a PredictionLog"):
        list(warmup_records(path))


def test_a_request_that_fails_is_named_and_nothing_stays_loaded(path: Path) -> None:
    write(path, [predict_record(), predict_record()])
    seen: list[Servable] = []

    def fail(request: bytes, servable: Servable, model: str) -> None:
        seen.append(servable)
        if len(seen) == 2:
            raise RequestError("Input 'rows' is missing.")

    loader = VersionLoader(answers={"predict_log": fail}, require_index=False)
    with pytest.raises(
        ServingError, match=r"requests: request 1 failed: Input 'rows' is missing\. Export .*--no-warmup"
    ):
        loader(path, 1, "m")
    with pytest.raises(ServingError, match="was closed"):
        seen[0].predict("lookup", {"rows": np.zeros((1, 2), np.int32)})


def test_warmup_can_be_left_out(path: Path) -> None:
    (path / WARMUP_FILE).write_bytes(b"broken")
    VersionLoader(answers={}, require_index=False, warmup=False)(path, 1, "m").close()


def test_an_exports_own_requests_are_all_replayed(export: Path) -> None:
    heard = Heard()
    VersionLoader(answers={"predict_log": heard.of("predict_log")})(export, 1, "m").close()
    assert len(heard) == len(list(warmup_requests(export))) > 4
