"""TensorFlow Serving's REST interface, asked by a plain HTTP client."""

from __future__ import annotations

import base64
import http.client
import json
import math
import re
import socket
import time

import numpy as np
import pytest

NAMED = {"user_id": 3, "history": [1, 2, 0], "hour": 2, "ad_id": 5, "price": 1, "user_x_ad": 7}


@pytest.fixture(scope="module")
def expected(model, index):  # type: ignore[no-untyped-def]
    """Keras' own score of rows given as the features of `NAMED`."""

    def scores(*rows):  # type: ignore[no-untyped-def]
        ids = np.zeros((len(rows), index.width), np.int32)
        for number, row in enumerate(rows):
            for field in index.fields:
                ids[number, field.columns] = row[field.name]
        return ids, model.predict(ids, verbose=0)[:, 0]

    return scores


def test_status_is_told_as_tensorflow_serving_does(ctr_server, ask) -> None:  # type: ignore[no-untyped-def]
    told = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("", "/versions/1", "/labels/stable"):
        assert ask(ctr_server, f"/v1/models/ctr{path}") == (200, {"model_version_status": [told]})


def test_metadata_has_types_shapes_and_the_version(ctr_server, ask, index) -> None:  # type: ignore[no-untyped-def]
    status, told = ask(ctr_server, "/v1/models/ctr/labels/stable/metadata")
    assert status == 200
    assert told["model_spec"] == {"name": "ctr", "signature_name": "", "version": "1"}
    signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    ids = signature["inputs"]["ids"]
    assert ids["dtype"] == "DT_INT32"
    assert [dim["size"] for dim in ids["tensor_shape"]["dim"]] == ["-1", str(index.width)]
    assert signature["outputs"]["ctr"]["dtype"] == "DT_FLOAT"


def test_rows_columns_and_named_features_score_as_keras_does(ctr_server, ask, expected) -> None:  # type: ignore[no-untyped-def]
    rows = [NAMED, {**NAMED, "ad_id": 9, "history": [4, 0, 0]}]
    ids, scores = expected(*rows)
    path = "/v1/models/ctr:predict"
    status, by_row = ask(ctr_server, path, {"instances": ids.tolist()})
    assert status == 200
    assert list(by_row) == ["predictions"]
    np.testing.assert_allclose(np.ravel(by_row["predictions"]), scores, atol=1e-6)
    assert ask(ctr_server, path, {"inputs": ids.tolist()})[1] == {"outputs": by_row["predictions"]}
    assert ask(ctr_server, path, {"inputs": {"ids": ids.tolist()}})[1] == {"outputs": by_row["predictions"]}
    assert ask(ctr_server, path, {"signature_name": "named", "instances": rows})[1] == by_row
    columns = {name: [row[name] for row in rows] for name in NAMED}
    assert ask(ctr_server, path, {"signature_name": "named", "inputs": columns})[1]["outputs"] == by_row["predictions"]
    assert ask(ctr_server, "/V1/models/ctr/versions/1:predict", {"instances": ids.tolist()})[1] == by_row
    assert (
        ask(ctr_server, "/v1/models/ctr/labels/stable:predict", {"instances": ids.tolist()}, compressed=True)[1]
        == by_row
    )


def test_scores_have_no_more_digits_than_float32_holds(ctr_server, ask, expected) -> None:  # type: ignore[no-untyped-def]
    ids, scores = expected(NAMED)
    (told,) = np.ravel(ask(ctr_server, "/v1/models/ctr:predict", {"instances": ids.tolist()})[1]["predictions"])
    assert len(repr(float(told))) <= 12
    assert np.float32(told) == pytest.approx(scores[0], abs=1e-6)


def test_classify_and_regress_take_examples_and_a_shared_context(ctr_server, ask, expected) -> None:  # type: ignore[no-untyped-def]
    short = {**NAMED, "history": [1, 2]}  # Padded as the index pads.
    _, scores = expected(NAMED, {**NAMED, "ad_id": 9})
    status, told = ask(ctr_server, "/v1/models/ctr:classify", {"examples": [short, {**short, "ad_id": 9}]})
    assert status == 200
    for row, score in zip(told["results"], scores, strict=True):
        assert [label for label, _ in row] == ["0", "1"]
        np.testing.assert_allclose([value for _, value in row], [1 - score, score], atol=1e-6)
    context = {name: value for name, value in NAMED.items() if name != "ad_id"}
    status, told = ask(
        ctr_server, "/v1/models/ctr:regress", {"context": context, "examples": [{"ad_id": 5}, {"ad_id": 9}]}
    )
    assert status == 200
    np.testing.assert_allclose(told["results"], scores, atol=1e-6)


def test_a_saved_models_own_examples_are_parsed_by_itself(halves_server, ask) -> None:  # type: ignore[no-untyped-def]
    document = {"signature_name": "c", "examples": [{"x": 0.25}, {"x": [1.0]}]}
    assert ask(halves_server, "/v1/models/halves:classify", document) == (
        200,
        {"results": [[["low", 0.75], ["high", 0.25]], [["low", 0.0], ["high", 1.0]]]},
    )
    document = {"signature_name": "r", "context": {"x": 3.0}, "examples": [{}, {"x": 1.0}]}
    assert ask(halves_server, "/v1/models/halves:regress", document) == (200, {"results": [3.5, 2.5]})


def test_numbers_that_are_none_go_in_and_out(halves_server, ask) -> None:  # type: ignore[no-untyped-def]
    body = b'{"instances": [NaN, Infinity, -Infinity, 1, 2.5e-1]}'
    status, told = ask(halves_server, "/v1/models/halves:predict", body=body)
    assert status == 200
    assert math.isnan(told["predictions"][0])
    assert told["predictions"][1:] == [math.inf, -math.inf, 2.5, 2.125]


def test_bytes_travel_as_base64_and_text_as_text(halves_server, ask) -> None:  # type: ignore[no-untyped-def]
    raw = b"\xff\x00\x01"
    coded = {"b64": base64.b64encode(raw).decode()}
    rows = [
        {"image_bytes": coded, "flag": True, "pair": [1, 2]},
        {"image_bytes": "ä", "flag": False, "pair": [2**62, -1]},
    ]
    document = {"signature_name": "through", "instances": rows}
    status, told = ask(halves_server, "/v1/models/halves:predict", document)
    assert status == 200
    assert told["predictions"] == [
        {"flag": False, "image_bytes": coded, "pair": [1, 2], "text": coded},
        {
            "flag": True,
            "image_bytes": {"b64": base64.b64encode("ä".encode()).decode()},
            "pair": [2**62, -1],
            "text": "ä",
        },
    ]


ROW = [3, 1, 2, 0, 2, 5, 1, 7]
WRONG = [
    (b"", "JSON Parse error: The document is empty"),
    (b"{", r"JSON Parse error: Expecting property name"),
    (b"[" * 100_000, "JSON Parse error: .*deep"),
    (b"\xff\xfe{}", "JSON Parse error"),
    (b'{"instances": [1e999]}', "Number too big to be stored in double: 1e999"),
    ([1], r"JSON Value: \[1\] Is not object"),
    ({}, "Missing 'inputs' or 'instances' key"),
    ({"instance": [ROW]}, "Missing 'inputs' or 'instances' key.*Did you mean 'instances'"),
    ({"instances": [ROW], "inputs": [ROW]}, "only one of 'inputs' or 'instances'"),
    ({"instances": []}, "No values in 'instances' array"),
    ({"instances": 3}, "Excepting 'instances' to be an list"),
    ({"signature_name": 3, "instances": [ROW]}, "'signature_name' key must be a string"),
    (
        {"signature_name": "nmaed", "instances": [ROW]},
        "signature name: \"nmaed\" not found in signature def.*mean 'named'",
    ),
    ({"signature_name": "named", "instances": [ROW]}, "expecting list of objects as multiple input tensors"),
    ({"signature_name": "named", "instances": [{**NAMED, "hour": None}]}, "Input 'hour': JSON Value: null Type: Null"),
    ({"signature_name": "named", "instances": [{**NAMED, "huor": 1}]}, "element: 0 .*'huor' is no input.*'hour'"),
    ({"signature_name": "named", "instances": [NAMED, 3]}, "Expecting object but got list at item 1"),
    ({"signature_name": "named", "inputs": {"hour": [1]}}, "Missing named input: ad_id"),
    ({"signature_name": "fingerprint", "inputs": {}}, "Failed to get input map for signature"),
    (
        {"instances": [ROW, ROW[:-1]]},
        "Input 'ids': Encountered list at unexpected size: 7 at level: 1 expected size: 8",
    ),
    ({"instances": [ROW, 3]}, "Input 'ids': JSON Value: 3 beside a list"),
    (
        {"instances": [ROW[:-1]]},
        r"Input 'ids' of signature 'serving_default': got int32 \[1, 7\], expected int32 \[n, 8\]",
    ),
    ({"instances": [[*ROW[:-1], 1.0]]}, "Input 'ids': JSON Value: 1.0 Type: Number is not of expected type: int32"),
    ({"instances": [[*ROW[:-1], True]]}, "Input 'ids': JSON Value: true Type: True is not of expected type: int32"),
    ({"instances": [[*ROW[:-1], "1"]]}, "Input 'ids': JSON Value: \"1\" Type: String is not of expected type: int32"),
    ({"instances": [[*ROW[:-1], 2**31]]}, "Input 'ids': JSON Value: 2147483648 is not of expected type: int32"),
    ({"instances": [[*ROW[:-1], 10**30]]}, "Input 'ids': JSON Value: 10{30} is not of expected type: int32"),
    ({"instances": [[*ROW[:-1], -1]]}, "row 0: field 'user_x_ad' got id -1, expected 0 to 51"),
]


@pytest.mark.parametrize(("document", "text"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_prediction_request_is_told_what_is_wrong(ctr_server, ask, document, text: str) -> None:  # type: ignore[no-untyped-def]
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    status, told = ask(ctr_server, "/v1/models/ctr:predict", body=body, method="POST")
    assert status == 400
    assert list(told) == ["error"]
    assert re.search(text, told["error"]), told["error"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"examples": []}, "'examples' value is an empty array"),
        ({"exmples": [{}]}, "'examples' is expected and was not found. Did you mean 'examples'"),
        ({"examples": [3]}, "Example 0 must be JSON object but got 3"),
        ({"examples": [{}]}, "Example 0: feature 'user_id' is missing"),
        ({"examples": [{**NAMED, "hour": [1, 2]}]}, "Example 0: feature 'hour' has 2 ids, expected one"),
        ({"examples": [{**NAMED, "history": [1, 2, 3, 4]}]}, "feature 'history' has 4 ids, expected at most 3"),
        (
            {"examples": [NAMED, {**NAMED, "hour": "9"}]},
            "Example 1: feature 'hour' has bytes, expected its id as int64",
        ),
        ({"examples": [{**NAMED, "huor": 1}]}, "Example 0: the model has no feature 'huor'. Did you mean 'hour'"),
        ({"examples": [{**NAMED, "hour": 2**40}]}, "Example 0: feature 'hour' got id 1099511627776, expected 0 to"),
        ({"examples": [{**NAMED, "hour": 2**70}]}, "feature 'hour' has 1180591620717411303424. Only int64"),
        ({"examples": [{**NAMED, "hour": [1, "a"]}]}, "feature 'hour': Unexpected element type: got bytes and int64"),
        ({"examples": [{**NAMED, "hour": None}]}, "feature 'hour' has element with unexpected JSON type: null"),
        (
            {"examples": [NAMED], "signature_name": "rank"},
            "classification signature method_name to be tensorflow/serving",
        ),
        (
            {"examples": [NAMED], "signature_name": "rnak"},
            "No signature was found with the name: rnak. Did you mean 'rank'",
        ),
    ],
)
def test_a_wrong_example_is_told_what_is_wrong(ctr_server, ask, document, text: str) -> None:  # type: ignore[no-untyped-def]
    status, told = ask(ctr_server, "/v1/models/ctr:classify", document)
    assert status == 400
    assert text in told["error"]


def test_paths_that_lead_nowhere(ctr_server, ask) -> None:  # type: ignore[no-untyped-def]
    assert ask(ctr_server, "/v1/models/crt") == (
        404,
        {"error": "Could not find any versions of model crt. Models served here: 'ctr'."},
    )
    status, told = ask(ctr_server, "/v1/models/crt:predict", {"instances": [ROW]})
    assert (status, told["error"][:50]) == (404, "Servable not found for request: Latest(crt). Model")
    status, told = ask(ctr_server, "/v1/models/ctr/versions/2:predict", {"instances": [ROW]})
    assert (status, told["error"][:48]) == (404, "Servable not found for request: Specific(ctr, 2)")
    status, told = ask(ctr_server, "/v1/models/ctr/labels/canary:predict", {"instances": [ROW]})
    assert status == 400
    assert told["error"].startswith("Unrecognized servable version label: canary")
    assert ask(ctr_server, "/v1/models")[1]["error"].startswith("Missing model name in request.")
    assert ask(ctr_server, "/v1/models/ctr/versions/" + "9" * 30)[1]["error"].startswith("Failed to convert version")
    status, told = ask(ctr_server, "/v1/models/ctr:predikt", {"instances": [ROW]})
    assert status == 400
    assert told["error"].startswith("Malformed request: POST /v1/models/ctr:predikt")
    assert ask(ctr_server, "/v1/models/ctr", body=b"{}", method="PUT")[0] == 400
    assert ask(ctr_server, "/elsewhere")[0] == 404


def test_the_body_has_a_limit_before_and_after_decompression(ctr_server, ask) -> None:  # type: ignore[no-untyped-def]
    status, told = ask(ctr_server, "/v1/models/ctr:predict", body=b" " * 300_000)
    assert status == 413
    assert "this server takes 200,000. Send fewer rows" in told["error"]
    status, told = ask(ctr_server, "/v1/models/ctr:predict", body=b" " * 10_000_000, compressed=True)
    assert status == 413
    status, told = ask(ctr_server, "/v1/models/ctr:predict", body=b"{}", headers={"Content-Encoding": "gzip"})
    assert (status, told["error"][:37]) == (400, "The request's body is not gzip: Error"), told
    status, told = ask(ctr_server, "/v1/models/ctr:predict", body=b"{}", headers={"Content-Encoding": "br"})
    assert (status, told["error"]) == (400, "Content-Encoding 'br' is not known. Valid: 'gzip'.")


def test_one_connection_carries_many_requests_quickly(ctr_server) -> None:  # type: ignore[no-untyped-def]
    connection = http.client.HTTPConnection(ctr_server.rest_target, timeout=20)
    body = json.dumps({"instances": [ROW]})
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        connection.request("POST", "/v1/models/ctr:predict", body)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        assert not answer.will_close
        seconds.append(time.perf_counter() - start)
    connection.close()
    assert sorted(seconds)[10] < 0.035  # An answer in two packets waits 40 ms for the client's acknowledgement.


def test_slow_clients_are_sent_away_while_others_are_answered(ctr_server, ask) -> None:  # type: ignore[no-untyped-def]
    host, _, port = ctr_server.rest_target.rpartition(":")
    slow = []
    for _ in range(20):
        one = socket.create_connection((host, int(port)), timeout=20)
        one.sendall(b"POST /v1/models/ctr:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        slow.append(one)
    assert ask(ctr_server, "/v1/models/ctr:predict", {"instances": [ROW]})[0] == 200
    for one in slow:  # After the second and a half that a body may take.
        answer = b""
        while chunk := one.recv(4096):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 1.5 s" in answer
        one.close()


def test_endless_headers_end_the_connection(ctr_server, ask) -> None:  # type: ignore[no-untyped-def]
    host, _, port = ctr_server.rest_target.rpartition(":")
    endless = b"GET /v1/models/ctr HTTP/1.1\r\n" + (b"X-More: " + b"x" * 1000 + b"\r\n") * 10_000
    with socket.create_connection((host, int(port)), timeout=20) as one, pytest.raises(OSError):
        one.sendall(endless)
    assert ask(ctr_server, "/v1/models/ctr")[0] == 200
