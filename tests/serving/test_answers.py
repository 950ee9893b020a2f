"""Answers put together as bytes against protobuf's own encoder, and a servable's whole way from bytes to bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import RequestError
from ctrkit.serving.answers import model_spec, predict_response
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.servable import Servable
from ctrkit.serving.wire import pack, pack_typed

ARRAYS = {
    "ctr": np.linspace(0, 1, 300, dtype=np.float32).reshape(-1, 1),
    "none": np.empty((0, 1), np.float32),
    "scalar": np.float32(0.5).reshape(()),
    "doubles": np.array([1e300, -0.0, np.nan]),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "big_endian": np.arange(3, dtype=">f4"),
    "counts": np.array([[1, -2]], np.int64),
    "half": np.array([0.5], np.float16),
    "words": np.array([b"a", "é".encode() * 100], dtype=object),
    "n" * 200: np.array([True]),
}


@pytest.fixture(scope="module")
def servable(export: Path):  # type: ignore[no-untyped-def]
    loaded = Servable.load(export, 1)
    yield loaded
    loaded.close()


@pytest.mark.parametrize("name", ARRAYS, ids=lambda name: name[:12])
def test_bytes_are_those_of_the_message(name: str) -> None:
    expected = prediction_pb2.PredictResponse()
    expected.model_spec.name, expected.model_spec.signature_name = "ctr", "rank"
    expected.model_spec.version.value = 7
    pack_typed(ARRAYS[name], expected.outputs[name], name)
    assert predict_response({name: ARRAYS[name]}, model_spec("ctr", 7, "rank")) == expected.SerializeToString()


def test_many_outputs_are_all_there() -> None:
    got = prediction_pb2.PredictResponse.FromString(predict_response(ARRAYS, model_spec("m" * 300, 1 << 40, "")))
    assert set(got.outputs) == set(ARRAYS)
    assert (got.model_spec.name, got.model_spec.version.value) == ("m" * 300, 1 << 40)
    assert not got.model_spec.signature_name


def test_a_type_that_cannot_be_sent_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match=r"'x'.*complex64"):
        predict_response({"x": np.ones(1, np.complex64)}, b"")


def request_for(signature: str, **inputs: np.ndarray) -> prediction_pb2.PredictRequest:
    request = prediction_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    for name, array in inputs.items():
        pack(array, request.inputs[name], name)
    return request


def test_a_servable_answers_what_it_predicts(servable: Servable, index) -> None:  # type: ignore[no-untyped-def]
    ids = np.random.default_rng(0).integers(0, index.rows_per_column, size=(9, index.width)).astype(np.int32)
    for signature, inputs in {
        "": {"ids": ids},
        "rank": {"user_ids": ids[:1, : index.user_width], "item_ids": ids[:, index.user_width :]},
    }.items():
        raw = servable.answer(request_for(signature, **inputs), "other_name")
        answer = prediction_pb2.PredictResponse.FromString(raw)
        assert answer.model_spec.name == "other_name"
        assert answer.model_spec.version.value == 1
        assert answer.model_spec.signature_name == (signature or "serving_default")
        expected = servable.predict(signature or "serving_default", inputs)["ctr"]
        assert list(answer.outputs["ctr"].float_val) == expected.ravel().tolist()
        assert [dim.size for dim in answer.outputs["ctr"].tensor_shape.dim] == [9, 1]


def test_a_filter_chooses_outputs_and_a_wrong_one_is_named(servable: Servable, index) -> None:  # type: ignore[no-untyped-def]
    request = request_for("serving_default", ids=np.zeros((2, index.width), np.int32))
    request.output_filter.append("ctrr")
    with pytest.raises(RequestError, match=r"no output 'ctrr'\. Did you mean 'ctr'"):
        servable.answer(request, "ctr")


def test_ids_of_another_byte_order_are_checked_by_their_value(servable: Servable, index) -> None:  # type: ignore[no-untyped-def]
    ids = np.ones((1, index.width), np.int32)
    swapped = ids.astype(">i4")
    assert servable.predict("serving_default", {"ids": swapped})["ctr"] == pytest.approx(
        servable.predict("serving_default", {"ids": ids})["ctr"]
    )
    swapped[0, 0] = index.rows_per_column[0]
    with pytest.raises(RequestError, match=f"got id {index.rows_per_column[0]}, expected 0 to"):
        servable.predict("serving_default", {"ids": swapped})


def test_opening_a_servable_reads_no_vocabulary_values(servable: Servable) -> None:
    assert servable.index is not None
    assert servable.fingerprint == servable.index.fingerprint
    assert servable.definitions.keys() >= servable.signatures.keys()
    for vocabulary in servable.index.vocabularies.values():
        assert isinstance(vocabulary.blob, np.memmap) or isinstance(vocabulary.blob.base, np.memmap)
