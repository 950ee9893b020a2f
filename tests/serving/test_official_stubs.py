"""TensorFlow Serving's own client code talks to the embedded server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from ctrkit.serving import Server

SCRIPT = r"""
import sys
import grpc, numpy as np, tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2,
                                     model_management_pb2, model_service_pb2_grpc, predict_pb2,
                                     prediction_service_pb2_grpc, regression_pb2)

target, width, base = sys.argv[1], int(sys.argv[2]), sys.argv[3]
channel = grpc.insecure_channel(target)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)

status = get_model_status_pb2.GetModelStatusRequest()
status.model_spec.name = "ctr"
(version,) = models.GetModelStatus(status, timeout=20).model_version_status
assert version.version == 1 and version.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
assert version.status.error_code == 0

metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
metadata.model_spec.name = "ctr"
response = predictions.GetModelMetadata(metadata, timeout=20)
signatures = get_model_metadata_pb2.SignatureDefMap()
assert response.metadata["signature_def"].Unpack(signatures)
ids_info = signatures.signature_def["serving_default"].inputs["ids"]
assert ids_info.dtype == tf.int32.as_datatype_enum and ids_info.tensor_shape.dim[1].size == width
assert signatures.signature_def["serving_default"].method_name == "tensorflow/serving/predict"

ids = np.ones((3, width), np.int32)
answers = []
packed = tf.make_tensor_proto(ids)
typed = type(packed)(dtype=packed.dtype, tensor_shape=packed.tensor_shape, int_val=ids.ravel().tolist())
assert len(typed.int_val) and packed.tensor_content
for tensor in (typed, packed):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "ctr"
    request.model_spec.version.value = 1
    request.inputs["ids"].CopyFrom(tensor)
    request.output_filter.append("ctr")
    response = predictions.Predict(request, timeout=20)
    assert response.model_spec.version.value == 1 and response.model_spec.signature_name == "serving_default"
    scores = tf.make_ndarray(response.outputs["ctr"])
    assert scores.shape == (3, 1) and list(response.outputs["ctr"].float_val) == scores.ravel().tolist()
    answers.append(scores)
assert (answers[0] == answers[1]).all()

request.inputs["ids"].CopyFrom(tf.make_tensor_proto(ids[:, 1:]))
try:
    predictions.Predict(request, timeout=20)
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "got int32" in error.details(), error
else:
    raise AssertionError("a request of the wrong width was answered")

def example(**features):
    lists = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=ids)) for name, ids in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=lists))

context = example(user_id=[1], history=[1, 1, 1], hour=[1])
ad = example(ad_id=[1], price=[1], user_x_ad=[1])
classify = classification_pb2.ClassificationRequest()
classify.model_spec.name = "ctr"
classify.input.example_list_with_context.context.CopyFrom(context)
classify.input.example_list_with_context.examples.extend([ad, ad])
response = predictions.Classify(classify, timeout=20)
assert response.model_spec.version.value == 1 and response.model_spec.signature_name == "named"
for row in response.result.classifications:
    no, yes = row.classes
    assert (no.label, yes.label) == ("0", "1")
    assert abs(yes.score - answers[0][0, 0]) < 1e-6 and abs(no.score + yes.score - 1) < 1e-6

both = example(user_id=[1], history=[1, 1, 1], hour=[1], ad_id=[1], price=[1], user_x_ad=[1])
regress = regression_pb2.RegressionRequest()
regress.model_spec.name = "ctr"
regress.input.example_list.examples.extend([both])
(value,) = predictions.Regress(regress, timeout=20).result.regressions
assert abs(value.value - answers[0][0, 0]) < 1e-6

several = inference_pb2.MultiInferenceRequest(input=regress.input)
for method in ("classify", "regress"):
    task = several.tasks.add(method_name="tensorflow/serving/" + method)
    task.model_spec.name = "ctr"
first, second = predictions.MultiInference(several, timeout=20).results
assert abs(first.classification_result.classifications[0].classes[1].score - value.value) < 1e-6
assert second.regression_result.regressions[0].value == value.value

reload = model_management_pb2.ReloadConfigRequest()
config = reload.config.model_config_list.config.add(name="ctr", base_path=base, model_platform="tensorflow")
config.version_labels["stable"] = 1
assert models.HandleReloadConfigRequest(reload, timeout=60).status.error_code == 0
labelled = predict_pb2.PredictRequest()
labelled.model_spec.name = "ctr"
labelled.model_spec.version_label = "stable"
labelled.inputs["ids"].CopyFrom(packed)
assert predictions.Predict(labelled, timeout=20).model_spec.version.value == 1
for wrong, code, words in (
    ({"version_label": "canary"}, "INVALID_ARGUMENT", "Unrecognized servable version label: canary"),
    ({"name": "crt"}, "NOT_FOUND", "Servable not found for request: Latest(crt)"),
    ({"signature_name": "rnak"}, "FAILED_PRECONDITION", 'Serving signature key "rnak" not found.'),
):
    bad = predict_pb2.PredictRequest()
    bad.CopyFrom(labelled)
    bad.model_spec.ClearField("version_label")
    for name, text in wrong.items():
        setattr(bad.model_spec, name, text)
    try:
        predictions.Predict(bad, timeout=20)
    except grpc.RpcError as error:
        assert error.code().name == code and error.details().startswith(words), error
    else:
        raise AssertionError(words)
try:
    models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "ModelConfigList" in error.details()
else:
    raise AssertionError("an empty configuration was taken")

request = predict_pb2.PredictRequest()
request.model_spec.name = "ctr"
request.model_spec.signature_name = "fingerprint"
print(tf.make_ndarray(predictions.Predict(request, timeout=20).outputs["fingerprint"])[0].decode())
print(*[float(score) for score in answers[0].ravel()])
"""


def test_official_stubs_get_what_they_ask_for(server: Server, export: Path, index, model) -> None:  # type: ignore[no-untyped-def]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, server.target, str(index.width), str(export.parent)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    fingerprint, scores = done.stdout.splitlines()[-2:]
    assert fingerprint == index.fingerprint
    expected = model.predict(np.ones((3, index.width), np.int32), verbose=0)[:, 0]
    np.testing.assert_allclose([float(score) for score in scores.split()], expected, atol=1e-6)
