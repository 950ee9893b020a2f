"""The text files, read back by the messages that TensorFlow Serving itself has."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from ctrkit.errors import ConfigError
from ctrkit.serving.deployment import DeployedModel, DeploymentOptions, deployment_files
from ctrkit.serving.models import ModelsConfig
from ctrkit.serving.protos import deployment_pb2

MODEL = DeployedModel(name="wide_deep", parameters=1000, buckets=(1, 10, 100))

# tensorflow-serving-api ships model_server_config_pb2, but none of the three below. Name, number and type of each field
# are those of github.com/tensorflow/serving: servables/tensorflow/session_bundle_config.proto (BatchingParameters),
# config/monitoring_config.proto (MonitoringConfig, PrometheusConfig) and config/ssl_config.proto (SSLConfig).
OFFICIAL: dict[str, list[tuple[str, int, str]]] = {
    "BatchingParameters": [
        ("max_batch_size", 1, "google.protobuf.Int64Value"),
        ("batch_timeout_micros", 2, "google.protobuf.Int64Value"),
        ("max_enqueued_batches", 3, "google.protobuf.Int64Value"),
        ("num_batch_threads", 4, "google.protobuf.Int64Value"),
        ("thread_pool_name", 5, "google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, "repeated int64"),
        ("pad_variable_length_inputs", 7, "bool"),
    ],
    "PrometheusConfig": [("enable", 1, "bool"), ("path", 2, "string")],
    "MonitoringConfig": [("prometheus_config", 1, "tensorflow.serving.PrometheusConfig")],
    "SSLConfig": [
        ("server_key", 1, "string"),
        ("server_cert", 2, "string"),
        ("custom_ca", 3, "string"),
        ("client_verify", 4, "bool"),
    ],
}
SCALARS = {"int64": Field.TYPE_INT64, "string": Field.TYPE_STRING, "bool": Field.TYPE_BOOL}


@pytest.fixture(scope="module")
def official():  # type: ignore[no-untyped-def]
    """Name -> message class."""
    from google.protobuf import wrappers_pb2

    file = descriptor_pb2.FileDescriptorProto(name="official.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, fields in OFFICIAL.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            label = Field.LABEL_REPEATED if kind.startswith("repeated ") else Field.LABEL_OPTIONAL
            kind = kind.removeprefix("repeated ")
            added = message.field.add(name=field, number=number, label=label)
            if kind in SCALARS:
                added.type = SCALARS[kind]
            else:
                added.type, added.type_name = Field.TYPE_MESSAGE, f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in OFFICIAL
    }


def files(**options: object) -> dict[str, str]:
    return deployment_files(MODEL, DeploymentOptions(**options), exports=Path("/run/export"))  # type: ignore[arg-type]


def model_config(text: str):  # type: ignore[no-untyped-def]
    from tensorflow_serving.config import model_server_config_pb2

    (config,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    return config


def test_models_config_names_the_folder_of_versions_and_how_many_to_serve() -> None:
    config = model_config(files(latest=2)["models.config"])
    assert (config.name, config.base_path, config.model_platform) == ("wide_deep", "/models/wide_deep", "tensorflow")
    assert config.model_version_policy.latest.num_versions == 2
    assert not config.version_labels


def test_labels_serve_the_versions_that_they_point_to() -> None:
    config = model_config(files(labels={"stable": 3, "canary": 12})["models.config"])
    assert list(config.model_version_policy.specific.versions) == [3, 12]
    assert dict(config.version_labels) == {"stable": 3, "canary": 12}


def test_a_store_in_the_cloud_is_the_base_path() -> None:
    assert model_config(files(store="gs://bucket/models/")["models.config"]).base_path == "gs://bucket/models/wide_deep"


def test_the_head_says_how_often_the_file_is_read() -> None:
    assert "reads this again every 7 s" in files(config_poll_seconds=7)["models.config"]
    assert "reads this when it starts." in files(config_poll_seconds=0)["models.config"]


def test_the_embedded_server_reads_the_same_models_config() -> None:
    (model,) = ModelsConfig.parse(files(labels={"stable": 3})["models.config"]).models
    assert (model.name, str(model.base_path), model.labels) == ("wide_deep", "/models/wide_deep", {"stable": 3})


def test_batching_pads_to_the_sizes_that_are_warm(official) -> None:  # type: ignore[no-untyped-def]
    text = files(batching=True, cpu=4, batch_timeout_micros=250)["batching.config"]
    found = text_format.Parse(text, official["BatchingParameters"]())
    assert list(found.allowed_batch_sizes) == [1, 10, 100]
    assert found.max_batch_size.value == 100  # TensorFlow Serving refuses another last allowed size.
    assert (found.num_batch_threads.value, found.batch_timeout_micros.value) == (4, 250)
    assert found.max_enqueued_batches.value > 0
    assert "Batching refuses signature `rank`" in text
    assert "which is on here" in text
    assert "which is off here" in files()["batching.config"]


def test_without_buckets_any_batch_may_be_formed(official) -> None:  # type: ignore[no-untyped-def]
    model = DeployedModel(name="a", parameters=1, buckets=())
    text = deployment_files(model, DeploymentOptions(), exports=Path("/run"))["batching.config"]
    found = text_format.Parse(text, official["BatchingParameters"]())
    assert not found.allowed_batch_sizes
    assert found.max_batch_size.value == 1000


def test_prometheus_is_on(official) -> None:  # type: ignore[no-untyped-def]
    found = text_format.Parse(files(metrics_path="/metrics")["monitoring.config"], official["MonitoringConfig"]())
    assert (found.prometheus_config.enable, found.prometheus_config.path) == (True, "/metrics")


def test_ssl_config_holds_the_texts_of_the_files(official, certificate: tuple[Path, Path]) -> None:  # type: ignore[no-untyped-def]
    made, key = certificate
    texts = files(tls={"certificate": made, "key": key, "client_authority": made})
    found = text_format.Parse(texts["ssl.config"], official["SSLConfig"]())
    assert (found.server_cert, found.server_key) == (made.read_text(), key.read_text())
    assert (found.custom_ca, found.client_verify) == (made.read_text(), True)
    assert key.read_text() not in "".join(text for name, text in texts.items() if name != "ssl.config")
    without = text_format.Parse(files(tls={"certificate": made, "key": key})["ssl.config"], official["SSLConfig"]())
    assert (without.custom_ca, without.client_verify) == ("", False)
    assert "ssl.config" not in files()


def test_a_key_that_is_none_is_named(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls\.key.*absent\.pem"):
        files(tls={"certificate": certificate[0], "key": tmp_path / "absent.pem"})


def test_our_messages_have_the_fields_of_tensorflow_serving(official) -> None:  # type: ignore[no-untyped-def]
    ours = deployment_pb2.DeploymentFiles
    pairs = {
        "BatchingParameters": ours.Batching,
        "MonitoringConfig": ours.Monitoring,
        "PrometheusConfig": ours.Monitoring.Prometheus,
        "SSLConfig": ours.Ssl,
    }
    for name, message in pairs.items():
        expected = {field.name: (field.number, field.type, field.label) for field in official[name].DESCRIPTOR.fields}
        assert {f.name: (f.number, f.type, f.label) for f in message.DESCRIPTOR.fields} == expected
