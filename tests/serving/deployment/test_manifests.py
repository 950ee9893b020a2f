"""docker-compose.yml and kubernetes.yaml: what a machine reads of them fits together, and each flag is a real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctrkit.errors import ConfigError
from ctrkit.serving.deployment import DeployedModel, DeploymentOptions, deployment_files

# Flags of tensorflow_model_server and what they hold. Source: github.com/tensorflow/serving,
# tensorflow_serving/model_servers/main.cc, `flag_list`: each is there in an older version (without `mixed_precision`)
# and in a newer one (with `enable_grpc_healthcheck_service`, which is not used, since 2.15 may lack it). What server.cc
# refuses is checked by `test_the_server_would_accept_the_flags`.
FLAGS = {
    "port": int,
    "rest_api_port": int,
    "rest_api_num_threads": int,
    "enable_batching": bool,
    "allow_version_labels_for_unavailable_models": bool,
    "batching_parameters_file": str,
    "model_config_file": str,
    "model_config_file_poll_wait_seconds": int,
    "num_load_threads": int,
    "num_unload_threads": int,
    "max_num_load_retries": int,
    "load_retry_interval_micros": int,
    "file_system_poll_wait_seconds": int,
    "flush_filesystem_caches": bool,
    "tensorflow_intra_op_parallelism": int,
    "tensorflow_inter_op_parallelism": int,
    "ssl_config_file": str,
    "grpc_channel_arguments": str,
    "enable_model_warmup": bool,
    "monitoring_config_file": str,
    "xla_cpu_compilation_enabled": bool,
}
CHOICES: dict[str, dict[str, Any]] = {
    "default": {},
    "labels": {"labels": {"stable": 3, "canary": 4}},
    "cloud": {"store": "gs://bucket/models", "namespace": "ads", "replicas": 3},
    "batching": {"batching": True},
    "tuned": {"allocator": "/usr/lib/libjemalloc.so.2", "onednn": False, "cpu": 8, "cpu_limit": 8, "memory": "4Gi"},
    "secret": {"tls": "certificate"},
    "no environment": {"malloc_arenas": None},
}
PLAIN = DeployedModel(name="Wide_Deep 2", parameters=50_000_000, buckets=(1, 100))
COMPILED = DeployedModel(name="Wide_Deep 2", parameters=50_000_000, buckets=(1, 100), compiled=("rank",))
EXPORTS = Path("/work/run/export")


@pytest.fixture(params=[(name, model) for name in CHOICES for model in (PLAIN, COMPILED)], ids=str)
def made(request, certificate: tuple[Path, Path]):  # type: ignore[no-untyped-def]
    """Options, model, and the files that they give."""
    name, model = request.param
    chosen = dict(CHOICES[name])
    if "tls" in chosen:
        chosen["tls"] = dict(zip(("certificate", "key"), certificate, strict=True))
    options = DeploymentOptions(**chosen)
    return options, model, deployment_files(model, options, exports=EXPORTS)


def documents(files: dict[str, str]) -> dict[str, Any]:
    """Kind -> document of kubernetes.yaml."""
    return {document["kind"]: document for document in yaml.safe_load_all(files["kubernetes.yaml"])}


def container(files: dict[str, str]) -> dict[str, Any]:
    (found,) = documents(files)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found


def service(files: dict[str, str]) -> dict[str, Any]:
    return yaml.safe_load(files["docker-compose.yml"])["services"]["serving"]  # type: ignore[no-any-return]


def flags(listed: list[str]) -> dict[str, str]:
    found = dict(re.fullmatch(r"--(\w+)=(.*)", flag).groups() for flag in listed)  # type: ignore[union-attr]
    assert len(found) == len(listed)  # Each once.
    return found


def test_every_flag_is_one_of_the_server_with_a_value_of_its_type(made) -> None:  # type: ignore[no-untyped-def]
    _, _, files = made
    for name, value in flags(container(files)["args"]).items():
        kind = FLAGS[name]
        assert value in ("true", "false") if kind is bool else str(kind(value)) == value
        assert value


def test_the_server_would_accept_the_flags(made) -> None:  # type: ignore[no-untyped-def]
    options, model, files = made
    given = flags(container(files)["args"])
    assert given["port"] != given["rest_api_port"]
    assert ("batching_parameters_file" in given) == ("enable_batching" in given) == options.batching
    assert int(given["tensorflow_intra_op_parallelism"]) > 0  # Else server.cc reads neither of the two.
    assert "tensorflow_session_parallelism" not in given
    assert all(re.fullmatch(r"grpc\.\w+=\d+", part) for part in given["grpc_channel_arguments"].split(","))
    assert ("allow_version_labels_for_unavailable_models" in given) == bool(options.labels)
    assert ("xla_cpu_compilation_enabled" in given) == bool(model.compiled)
    assert ("ssl_config_file" in given) == (options.tls is not None)


def test_a_switch_cannot_hold_requests_up(made) -> None:  # type: ignore[no-untyped-def]
    _, _, files = made
    given = flags(container(files)["args"])
    assert int(given["num_load_threads"]) >= 1
    assert int(given["num_unload_threads"]) >= 1
    assert given["enable_model_warmup"] == "true"
    assert int(given["file_system_poll_wait_seconds"]) > 0


def test_every_flag_and_variable_has_its_reason_above_it(made) -> None:  # type: ignore[no-untyped-def]
    _, _, files = made
    for name in ("docker-compose.yml", "kubernetes.yaml"):
        lines = files[name].splitlines()
        settings = [i for i, line in enumerate(lines) if re.match(r" *(- --|- name: [A-Z]|[A-Z_]+: )", line)]
        assert len(settings) >= 15
        for i in settings:
            above = lines[i - 1]
            assert above.lstrip().startswith("# "), lines[i]
            assert above.index("#") == len(lines[i]) - len(lines[i].lstrip())


def test_compose_and_kubernetes_start_the_server_alike(made) -> None:  # type: ignore[no-untyped-def]
    options, _, files = made
    pod, compose = container(files), service(files)
    assert compose["command"] == pod["args"]
    assert compose["entrypoint"] == pod["command"] == ["tensorflow_model_server"]
    assert compose["image"] == pod["image"]
    environment = {one["name"]: one["value"] for one in pod["env"]}
    assert compose["environment"] == environment
    onednn = {None: None, False: "0"}[options.onednn]  # TensorFlow chooses where nothing is set.
    assert environment.get("TF_ENABLE_ONEDNN_OPTS") == onednn


def test_kubernetes_objects_refer_to_each_other(made) -> None:  # type: ignore[no-untyped-def]
    options, _, files = made
    found = documents(files)
    assert {kind: one["apiVersion"] for kind, one in found.items()} == {
        "ConfigMap": "v1", "Deployment": "apps/v1", "Service": "v1",
    }  # fmt: skip
    for one in found.values():
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", one["metadata"]["name"])
        assert one["metadata"]["namespace"] == options.namespace
    deployed = found["Deployment"]["spec"]
    assert deployed["replicas"] == options.replicas
    labels = deployed["template"]["metadata"]["labels"]
    assert deployed["selector"]["matchLabels"].items() <= labels.items()
    assert found["Service"]["spec"]["selector"].items() <= labels.items()
    pod, serving = deployed["template"]["spec"], container(files)
    assert {mount["name"] for mount in serving["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    ports = {port["name"]: port["containerPort"] for port in serving["ports"]}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} <= set(ports)
    given = flags(serving["args"])
    assert ports == {"grpc": int(given["port"]), "rest": int(given["rest_api_port"])}
    config = next(volume for volume in pod["volumes"] if volume["name"] == "config")
    assert config["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    carried = found["ConfigMap"]["data"]
    assert carried == {name: files[name] for name in ("models.config", "batching.config", "monitoring.config")}
    mounts = {mount["name"]: mount["mountPath"] for mount in serving["volumeMounts"]}
    for name, value in given.items():
        if name.endswith("_file") and name != "ssl_config_file":
            folder, _, file = value.rpartition("/")
            assert (folder, file in carried) == (mounts["config"], True)
    assert ("models" in mounts) == (options.store is None)


def test_a_replica_is_ready_when_loaded_and_drains_before_it_ends(made) -> None:  # type: ignore[no-untyped-def]
    options, _, files = made
    pod, serving = documents(files)["Deployment"]["spec"]["template"]["spec"], container(files)
    assert serving["readinessProbe"]["httpGet"] == {"path": "/v1/models/Wide_Deep%202", "port": "rest"}
    assert serving["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", str(options.drain_seconds)]
    assert pod["terminationGracePeriodSeconds"] > options.drain_seconds
    assert documents(files)["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert service(files)["stop_grace_period"] == f"{options.drain_seconds}s"


def test_tls_keeps_the_key_out_of_the_manifest_and_rest_out_of_the_service(certificate: tuple[Path, Path]) -> None:
    tls = dict(zip(("certificate", "key"), certificate, strict=True))
    options = DeploymentOptions(tls=tls)  # type: ignore[arg-type]
    files = deployment_files(PLAIN, options, exports=EXPORTS)
    spec = documents(files)["Deployment"]["spec"]["template"]["spec"]
    secret = next(volume for volume in spec["volumes"] if volume["name"] == "tls")["secret"]["secretName"]
    assert f"create secret generic {secret} --from-file=ssl.config" in files["kubernetes.yaml"]
    assert "ssl.config" not in documents(files)["ConfigMap"]["data"]
    assert [port["name"] for port in documents(files)["Service"]["spec"]["ports"]] == ["grpc"]
    mounted = next(mount["mountPath"] for mount in container(files)["volumeMounts"] if mount["name"] == "tls")
    assert flags(container(files)["args"])["ssl_config_file"] == f"{mounted}/ssl.config"


def test_the_memory_holds_the_old_version_and_the_new_one() -> None:
    def megabytes(model: DeployedModel, **options: Any) -> int:
        made = deployment_files(model, DeploymentOptions(**options), exports=EXPORTS)
        limits = container(made)["resources"]["limits"]
        assert container(made)["resources"]["requests"]["memory"] == limits["memory"]
        return int(limits["memory"].removesuffix("Mi"))

    one = PLAIN.parameters * 4 / 2**20
    assert megabytes(PLAIN) >= 2 * one + 256
    assert megabytes(PLAIN, latest=2) >= 3 * one + 256
    assert megabytes(PLAIN, labels={"stable": 1, "canary": 2}) >= 3 * one + 256
    assert megabytes(COMPILED) > megabytes(PLAIN)


def test_compose_mounts_what_the_options_say() -> None:
    def volumes(**options: Any) -> list[str]:
        return service(deployment_files(PLAIN, DeploymentOptions(**options), exports=EXPORTS))["volumes"]  # type: ignore[no-any-return]

    assert "/work/run/export:/models/Wide_Deep 2:ro" in volumes()
    assert "/srv/models:/models:ro" in volumes(store="/srv/models")
    assert len(volumes(store="gs://bucket")) == 1


def test_ports_of_compose_are_open_on_loopback_alone() -> None:
    ports = service(deployment_files(PLAIN, DeploymentOptions(grpc_port=9000), exports=EXPORTS))["ports"]
    assert ports == ["127.0.0.1:9000:9000", "127.0.0.1:8501:8501"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load_threads": 0}, r"`load_threads` is 0, expected a whole number >= 1; with 0 versions are loaded between"),
        ({"replicas": True}, r"`replicas` is True"),
        ({"cpu_limit": 0}, r"`cpu_limit` is 0"),
        ({"rest_port": 8500}, r"are both 8500"),
        ({"grpc_port": 70000}, r"expected a whole number from 1 to 65535"),
        ({"memory": "2 GB"}, r"`memory` is '2 GB', expected e\.g\. 512Mi or 2Gi"),
        ({"namespace": "My_Space"}, r"`namespace` is 'My_Space', expected lower-case letters"),
        ({"metrics_path": "metrics"}, r"expected e\.g\. /monitoring"),
        ({"store": "s3://bucket"}, r"reads no s3:// since 2\.7.*use gs://"),
        ({"labels": {"stable": "3"}}, r"`labels` has 'stable': '3', expected a version's number"),
        ({"tls": {"certifcate": "a", "key": "b"}}, r"no option 'certifcate'\. Did you mean 'certificate'\?"),
        ({"tls": {"key": "b"}}, r"`tls` has key, expected `certificate` and `key`"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DeploymentOptions(**options)


def test_an_image_of_ones_own_may_read_s3() -> None:
    files = deployment_files(PLAIN, DeploymentOptions(image="mine/serving", store="s3://bucket"), exports=EXPORTS)
    assert 'base_path: "s3://bucket/Wide_Deep 2"' in files["models.config"]


@pytest.mark.parametrize(
    ("name", "resource"), [("CTR", "ctr"), ("a_b", "a-b"), ("7days", "model-7days"), ("é", "model")]
)
def test_kubernetes_gets_a_name_that_it_takes(name: str, resource: str) -> None:
    assert DeployedModel(name=name, parameters=1, buckets=()).resource == resource
