"""Requests over a real socket: scores, metadata, states, and every refusal with its status and text."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from ctrkit.errors import RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving import Connection, Server
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.wire import pack


@pytest.fixture
def connection(server: Server):  # type: ignore[no-untyped-def]
    with Connection(server.target, deadline=20) as opened:
        yield opened


@pytest.fixture
def ids(index: FeatureIndex) -> np.ndarray:
    draws = np.random.default_rng(5).random((7, index.width))
    return (draws * index.rows_per_column).astype(np.int32)


def refused(  # type: ignore[no-untyped-def]
    server: Server, signature: str, inputs: dict, *, outputs=(), version=None, metadata=(), model="ctr"
) -> tuple[grpc.StatusCode, str]:
    """The status and the text of an answer that must be a refusal."""
    request = prediction_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name, request.model_spec.signature_name = model, signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        pack(np.asarray(value), request.inputs[name], name)
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(
            request.SerializeToString(), timeout=20, metadata=metadata
        )
    return caught.value.code(), caught.value.details()  # type: ignore[attr-defined]


def test_served_scores_are_those_of_the_keras_model(connection, model, ids) -> None:  # type: ignore[no-untyped-def]
    answer = connection.predict("serving_default", {"ids": ids})
    np.testing.assert_allclose(answer.outputs["ctr"], model.predict(ids, verbose=0), atol=1e-6)
    assert answer.outputs["ctr"].dtype == np.float32
    assert answer.version == 1


def test_rank_and_named_give_the_same_scores_as_packed_ids(connection, index, ids) -> None:  # type: ignore[no-untyped-def]
    ids[:, : index.user_width] = ids[0, : index.user_width]
    packed = connection.predict("serving_default", {"ids": ids}).outputs["ctr"]
    cut = index.user_width
    rank = connection.predict("rank", {"user_ids": ids[:1, :cut], "item_ids": ids[:, cut:]}).outputs["ctr"]
    named = {f.name: ids[:, f.columns] if f.length > 1 else ids[:, f.start] for f in index.fields}
    np.testing.assert_allclose(rank, packed, atol=1e-6)
    np.testing.assert_allclose(connection.predict("named", named).outputs["ctr"], packed, atol=1e-6)


def test_the_response_names_model_version_and_signature(server: Server, ids: np.ndarray) -> None:
    request = prediction_pb2.PredictRequest()
    request.model_spec.name = "ctr"
    tensor = request.inputs["ids"]
    tensor.dtype = 3
    for size in ids.shape:
        tensor.tensor_shape.dim.add().size = size
    tensor.int_val.extend(ids.ravel().tolist())
    with grpc.insecure_channel(server.target) as channel:
        raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(
            request.SerializeToString(), timeout=20
        )
    response = prediction_pb2.PredictResponse.FromString(raw)
    assert response.model_spec.name == "ctr"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert len(response.outputs["ctr"].float_val) == 7  # As TensorFlow Serving answers; people read the typed field.


def test_status_says_available(connection: Connection) -> None:
    assert [(one.version, one.state) for one in connection.status()] == [(1, "AVAILABLE")]


def test_metadata_describes_every_signature(connection: Connection, index: FeatureIndex) -> None:
    signatures = connection.metadata()
    assert set(signatures) == {"serving_default", "rank", "named", "fingerprint", "feature_index"}
    assert signatures["rank"].inputs["user_ids"].shape == (1, index.user_width)
    assert str(signatures["rank"].inputs["item_ids"]) == f"int32 [n, {index.item_width}]"
    assert str(signatures["serving_default"].outputs["ctr"]) == "float32 [n, 1]"


def test_fingerprint_is_that_of_the_index(connection: Connection, index: FeatureIndex) -> None:
    assert connection.predict("fingerprint", {}).outputs["fingerprint"].tolist() == [index.fingerprint.encode()]


def test_no_candidates_give_no_scores(connection: Connection, index: FeatureIndex) -> None:
    empty = np.zeros((0, index.width), np.int32)
    assert connection.predict("serving_default", {"ids": empty}).outputs["ctr"].shape == (0, 1)


def test_output_filter_leaves_the_other_outputs_out(strings_server: Server) -> None:
    with Connection(strings_server.target, "words", deadline=20) as connection:
        inputs = {"words": [b"a"], "times": np.int64(1), "x": np.ones((1, 1), np.float32)}
        assert set(connection.predict("serving_default", inputs, ["upper", "times"]).outputs) == {"upper", "times"}
        assert set(connection.predict("serving_default", inputs).outputs) == {"words", "upper", "times", "x"}


def test_strings_scalars_and_empty_tensors_go_in_and_out(strings_server: Server) -> None:
    words = [
        b"",
        b"zero at the end\0",
        "ünï".encode(),
        b"x" * 1000,
    ]  # Short strings lie inside TensorFlow's, long ones outside.
    with Connection(strings_server.target, "words", deadline=20) as connection:
        inputs = {"words": words, "times": np.int64(41), "x": np.ones((0, 3), np.float32)}
        outputs = connection.predict("serving_default", inputs).outputs
    assert outputs["words"].tolist() == words
    assert outputs["upper"].tolist() == [word.upper() for word in words]
    assert outputs["times"].shape == ()
    assert int(outputs["times"]) == 42
    assert outputs["x"].shape == (0, 3)


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def test_wrong_width_names_input_got_and_expected(server: Server, index: FeatureIndex) -> None:
    code, text = refused(server, "serving_default", {"ids": np.zeros((4, index.width - 1), np.int32)})
    assert code == INVALID
    assert text == (
        f"Input 'ids' of signature 'serving_default': got int32 [4, {index.width - 1}], "
        f"expected int32 [n, {index.width}]."
    )


def test_two_users_in_a_rank_request_are_refused(server: Server, index: FeatureIndex) -> None:
    inputs = {
        "user_ids": np.zeros((2, index.user_width), np.int32),
        "item_ids": np.zeros((2, index.item_width), np.int32),
    }
    code, text = refused(server, "rank", inputs)
    assert code == INVALID
    assert f"'user_ids' of signature 'rank': got int32 [2, {index.user_width}], expected int32 [1, " in text


def test_named_columns_of_other_lengths_name_the_odd_one(connection: Connection, index: FeatureIndex, ids) -> None:  # type: ignore[no-untyped-def]
    columns = {f.name: ids[:4, f.start] if f.length == 1 else ids[:4, f.columns] for f in index.fields}
    columns["hour"] = columns["hour"][:1]
    with pytest.raises(RequestError, match=r"'hour' of signature 'named' has 1 rows where others have 4"):
        connection.predict("named", columns)


def test_wrong_type_names_both(server: Server, ids: np.ndarray) -> None:
    code, text = refused(server, "serving_default", {"ids": ids.astype(np.int64)})
    assert code == INVALID
    assert "got int64 [7, 8], expected int32 [n, 8]" in text


@pytest.mark.parametrize("bad", [-1, 10**9])
def test_id_out_of_range_names_field_row_and_bound(server, index, ids, bad: int) -> None:  # type: ignore[no-untyped-def]
    field = index["ad_id"]
    ids[3, field.start] = bad
    code, text = refused(server, "serving_default", {"ids": ids})
    assert code == INVALID
    assert f"row 3: field 'ad_id' got id {bad}, expected 0 to {len(['missing', 'oov']) + 30 - 1}" in text
    code, text = refused(
        server, "rank", {"user_ids": ids[:1, : index.user_width], "item_ids": ids[:, index.user_width :]}
    )
    assert code == INVALID
    assert "field 'ad_id'" in text
    named = {f.name: ids[:, f.columns] if f.length > 1 else ids[:, f.start] for f in index.fields}
    assert "Input 'ad_id' of signature 'named', row 3" in refused(server, "named", named)[1]


def test_unknown_names_get_the_nearest_valid_one(server: Server, ids: np.ndarray) -> None:
    code, text = refused(server, "serving_defualt", {"ids": ids})
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert text == "Serving signature key \"serving_defualt\" not found. Did you mean 'serving_default'?"
    code, text = refused(server, "serving_default", {"idz": ids})
    assert code == INVALID
    assert text == (
        "input tensor alias not found in signature: idz. Inputs expected to be in the set {ids}. "
        "Signature 'serving_default' has no input 'idz'. Did you mean 'ids'?"
    )
    code, text = refused(server, "serving_default", {"ids": ids, "idz": ids})
    assert code == INVALID
    assert text.startswith(
        "input size does not match signature: 2!=1 len({ids,idz}) != len({ids}). Sent extra: {idz}. Missing but "
        "required: {}."
    )
    code, text = refused(server, "serving_default", {"ids": ids}, outputs=["crt"])
    assert code == INVALID
    assert text.startswith("output tensor alias not found in signature: crt Outputs expected to be in the set {ctr}.")
    assert text.endswith("Did you mean 'ctr'?")
    code, text = refused(server, "serving_default", {"ids": ids}, outputs=["ctr", "ctr"])
    assert (code, text) == (INVALID, "duplicate output tensor alias: ctr. Name each output once.")
    code, text = refused(server, "serving_default", {})
    assert code == INVALID
    assert text.startswith("input size does not match signature: 0!=1 ")
    assert text.endswith("needs input 'ids' (int32 [n, 8]), which is missing.")


def test_unknown_model_and_version_are_not_found(server: Server, ids: np.ndarray) -> None:
    code, text = refused(server, "serving_default", {"ids": ids}, version=9)
    assert code == NOT_FOUND
    assert text == "Servable not found for request: Specific(ctr, 9). Versions of 'ctr' served here: 1."
    code, text = refused(server, "serving_default", {"ids": ids}, model="crt")
    assert (code, text) == (NOT_FOUND, "Servable not found for request: Latest(crt). Models served here: 'ctr'.")


def test_ids_of_another_index_are_refused(server: Server, index: FeatureIndex, ids: np.ndarray) -> None:
    code, text = refused(server, "serving_default", {"ids": ids}, metadata=[("ctrkit-fingerprint", "f" * 64)])
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "made with index ffffffffffff" in text
    assert index.fingerprint[:12] in text


def test_what_tensorflow_refuses_keeps_its_status(strings_server: Server) -> None:
    code, text = refused(strings_server, "lookup", {"rows": np.array([[0, 99]], np.int32)}, model="words")
    assert code == INVALID
    assert "= 99 is not in [0, 10)" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "method", ["PredictionService/Predict", "PredictionService/GetModelMetadata", "ModelService/GetModelStatus"]
)
@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x7f", bytes(range(256)), b""])
def test_garbage_is_refused_and_the_server_lives_on(server: Server, connection, ids, method: str, raw: bytes) -> None:  # type: ignore[no-untyped-def]
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/tensorflow.serving.{method}")(raw, timeout=20)
    assert caught.value.code() == INVALID  # type: ignore[attr-defined]
    assert caught.value.details()  # type: ignore[attr-defined]
    assert len(connection.predict("serving_default", {"ids": ids}).outputs["ctr"]) == 7


def test_no_mutation_of_a_request_ends_the_server(server: Server, connection: Connection, ids: np.ndarray) -> None:
    request = prediction_pb2.PredictRequest()
    request.model_spec.name = "ctr"
    pack(ids, request.inputs["ids"], "ids")
    whole, rng = request.SerializeToString(), np.random.default_rng(0)
    with grpc.insecure_channel(server.target) as channel:
        method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for _ in range(500):
            raw = bytearray(whole)
            for _ in range(rng.integers(1, 4)):
                raw[rng.integers(len(raw))] = rng.integers(256)
            cut = rng.integers(len(raw)) if rng.random() < 0.2 else len(raw)
            call = method.future(bytes(raw[:cut]), timeout=20)
            assert call.code() in (grpc.StatusCode.OK, INVALID, NOT_FOUND, PRECONDITION), call.details()
    assert len(connection.predict("serving_default", {"ids": ids}).outputs["ctr"]) == 7


@pytest.mark.parametrize("shape", [(1 << 62, 4, 0), (0, 1 << 62), (1 << 31, 1 << 31), (-1, 5), (1,) * 300])
def test_no_shape_ends_the_server(strings_server: Server, shape: tuple[int, ...]) -> None:
    request = prediction_pb2.PredictRequest()
    request.model_spec.name = "words"
    pack(np.array([b"a"], object), request.inputs["words"], "words")
    pack(np.array(0, np.int64), request.inputs["times"], "times")
    request.inputs["x"].dtype = 1
    for size in shape:
        request.inputs["x"].tensor_shape.dim.add().size = size
    with grpc.insecure_channel(strings_server.target) as channel:
        method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            method(request.SerializeToString(), timeout=20)
    assert caught.value.code() == INVALID  # type: ignore[attr-defined]
    assert "Tensor 'x'" in caught.value.details()  # type: ignore[attr-defined]


def test_a_method_that_is_not_served_is_unimplemented(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/tensorflow.serving.PredictionService/Guess")(b"", timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_a_taken_port_is_told(server: Server, export: Path) -> None:
    port = int(server.target.rpartition(":")[2])
    with pytest.raises(ServingError, match=rf"Cannot listen at 127\.0\.0\.1:{port}.*--port"):
        Server(export, port=port).start()


def test_requests_under_way_finish_when_the_server_stops(export: Path, ids: np.ndarray) -> None:
    server = Server(export).start()
    large = np.repeat(ids, 3000, axis=0)
    request = prediction_pb2.PredictRequest()
    request.model_spec.name = "ctr"
    pack(large, request.inputs["ids"], "ids")
    with grpc.insecure_channel(server.target) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        future = predict.future(request.SerializeToString(), timeout=20)
        while not server.admission.pending and not future.done():
            time.sleep(0.0005)
        server.stop()
        assert len(prediction_pb2.PredictResponse.FromString(future.result()).outputs["ctr"].float_val) == len(large)
        with pytest.raises(grpc.RpcError) as caught:
            predict(request.SerializeToString(), timeout=20)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    server.stop()
