"""Requests that nobody should send: each gets a status that blames it, a good one in between its right scores."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctrkit.serving.protos import classification_pb2, prediction_pb2

from .calls import PREDICT, asked, predict_request

BLAMED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
CALM = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
METHODS = {
    "Predict": prediction_pb2.PredictRequest,
    "GetModelMetadata": prediction_pb2.GetModelMetadataRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": classification_pb2.RegressionRequest,
    "MultiInference": classification_pb2.MultiInferenceRequest,
}
NAMES = st.sampled_from(
    ["ctr", "crt", "", "ids", "user_ids", "item_ids", "rank", "named", "serving_default", "ad_id", "\x00", "ä" * 50]
)
INTEGERS = st.sampled_from([0, 1, 3, 7, 8, -1, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63)])


@pytest.fixture(scope="module")
def channel(ctr_server) -> Iterator[grpc.Channel]:  # type: ignore[no-untyped-def]
    with grpc.insecure_channel(ctr_server.target) as opened:
        yield opened


@pytest.fixture(scope="module")
def good(channel, model, index):  # type: ignore[no-untyped-def]
    """Check that a good request gets its scores."""
    draws = np.random.default_rng(3).random((4, index.width))
    ids = (draws * index.rows_per_column).astype(np.int32)
    request, expected = predict_request("ctr", ids=ids), model.predict(ids, verbose=0).ravel()

    def check() -> None:
        response = prediction_pb2.PredictResponse.FromString(asked(channel, PREDICT, request).result())
        np.testing.assert_allclose(response.outputs["ctr"].float_val, expected, atol=1e-6)

    return check


@st.composite
def filled(draw: st.DrawFn, kind: type[Message], depth: int = 6) -> Message:
    """A message of this kind with any fields, mostly of plausible names and sizes."""
    message: Any = kind()
    for field in kind.DESCRIPTOR.fields:
        if depth == 0 or not draw(st.booleans()):
            continue
        repeated = field.label == field.LABEL_REPEATED
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"].message_type
            for key in draw(st.lists(NAMES, max_size=3)):
                getattr(message, field.name)[key].CopyFrom(draw(filled(value._concrete_class, depth - 1)))
        elif field.message_type is not None:
            for _ in range(draw(st.integers(0, 2)) if repeated else 1):
                part = draw(filled(field.message_type._concrete_class, depth - 1))
                target = getattr(message, field.name).add() if repeated else getattr(message, field.name)
                target.CopyFrom(part)
        else:
            values = [_value(draw, field) for _ in range(draw(st.integers(0, 9)) if repeated else 1)]
            if repeated:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
    return message


def _value(draw: st.DrawFn, field: Any) -> Any:
    kinds = {field.CPPTYPE_STRING: NAMES, field.CPPTYPE_BOOL: st.booleans()}
    if field.type == field.TYPE_BYTES:
        return draw(st.binary(max_size=40))
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return draw(st.floats(width=32))
    if field.cpp_type in kinds:
        return draw(kinds[field.cpp_type])
    wide = field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64)
    unsigned = field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    value = draw(INTEGERS)
    value = value % 2**63 if wide else (value + 2**31) % 2**32 - 2**31
    return abs(value) % 2**31 if unsigned else value


def check_blamed(code: grpc.StatusCode, text: str) -> None:
    assert code is grpc.StatusCode.OK or code in BLAMED, (code, text)
    assert code is grpc.StatusCode.OK or text


@CALM
@given(data=st.data(), method=st.sampled_from(list(METHODS)))
def test_any_message_gets_a_status_that_blames_it(channel, good, data, method: str) -> None:  # type: ignore[no-untyped-def]
    message: Any = data.draw(filled(METHODS[method]))
    if method != "MultiInference" and data.draw(st.integers(0, 3)):
        message.model_spec.name = "ctr"
        message.model_spec.ClearField("version")
    call = asked(channel, f"/tensorflow.serving.PredictionService/{method}", message.SerializeToString())
    check_blamed(call.code(), call.details())
    good()


@CALM
@given(raw=st.binary(max_size=300), method=st.sampled_from(list(METHODS)))
def test_any_bytes_get_a_status_that_blames_them(channel, raw: bytes, method: str) -> None:  # type: ignore[no-untyped-def]
    call = asked(channel, f"/tensorflow.serving.PredictionService/{method}", raw)
    check_blamed(call.code(), call.details())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(NAMES | st.just("b64"), inner, max_size=3),
    max_leaves=30,
)
KEYS = st.sampled_from(["instances", "inputs", "signature_name", "examples", "context", "instance"])
ROWS = st.lists(st.lists(INTEGERS | st.sampled_from([0, 1, 2]), min_size=8, max_size=8), min_size=1, max_size=3)


@CALM
@given(
    document=st.dictionaries(KEYS, JSON_VALUES | ROWS, max_size=3)
    | st.fixed_dictionaries({"instances": ROWS})
    | JSON_VALUES,
    verb=st.sampled_from(["predict", "classify", "regress"]),
    cut=st.floats(0, 1.5),
)
def test_any_json_gets_a_status_that_blames_it(ctr_server, good, document, verb: str, cut: float) -> None:  # type: ignore[no-untyped-def]
    body = json.dumps(document).encode()
    body = body[: int(len(body) * cut)]
    connection = http.client.HTTPConnection(ctr_server.rest_target, timeout=20)
    connection.request("POST", f"/v1/models/ctr:{verb}", body)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    assert answer.status in (200, 400), told
    assert answer.status == 200 or told["error"]
    good()


@CALM
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_any_path_gets_an_answer(ctr_server, path: str) -> None:  # type: ignore[no-untyped-def]
    connection = http.client.HTTPConnection(ctr_server.rest_target, timeout=20)
    connection.request("GET", "/v1/models/" + path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status in (200, 400, 404)
