"""What is handed to a scheduler has the fields that it knows, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from ctrkit.errors import ConfigError
from ctrkit.training.cluster import ClusterOptions, ManifestOptions, tf_configs, tfjob
from ctrkit.training.cluster.manifest import job_name
from ctrkit.training.cluster.task import Task

# The fields that we use, as the operator's CRD `tfjobs.kubeflow.org` (version v1) and the pod specification type them.
# The API server drops what it does not know without a word, so a name that is not here is an error.
CONTAINER = {
    "name": str,
    "image": str,
    "command": [str],
    "workingDir": str,
    "env": [{"name": str, "value": str}],
    "ports": [{"name": str, "containerPort": int}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "resources": {"requests": {"cpu": str, "memory": str}, "limits": {"cpu": str, "memory": str}},
}
REPLICAS = {
    "replicas": int,
    "restartPolicy": str,
    "template": {
        "spec": {
            "containers": [CONTAINER],
            "volumes": [{"name": str, "persistentVolumeClaim": {"claimName": str}}],
        }
    },
}
TFJOB = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "namespace": str},
    "spec": {
        "runPolicy": {
            "cleanPodPolicy": str,
            "backoffLimit": int,
            "ttlSecondsAfterFinished": int,
            "activeDeadlineSeconds": int,
        },
        "tfReplicaSpecs": {"Chief": REPLICAS, "Worker": REPLICAS, "PS": REPLICAS, "Evaluator": REPLICAS},
    },
}
COMMAND = ["ctrkit", "train", "experiment=criteo", "training=async_ps"]


def unknown(value: Any, schema: Any, where: str = "") -> list[str]:
    """Places of `value` that `schema` does not allow."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{where} is {value!r}"]
        found = [f"{where}.{key} is unknown" for key in value if key not in schema]
        return found + [p for k, v in value.items() if k in schema for p in unknown(v, schema[k], f"{where}.{k}")]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{where} is {value!r}"]
        return [place for one in value for place in unknown(one, schema[0], f"{where}[]")]
    return [] if type(value) is schema else [f"{where} is {value!r}, not {schema.__name__}"]


def test_the_job_has_only_fields_of_the_operators_schema() -> None:
    options = ManifestOptions(deadline_seconds=60, resources={"ps": {"cpu": 4, "memory": "16Gi"}})
    job = tfjob("criteo", COMMAND, ClusterOptions(mode="async", ps=3, workers=4), options)
    assert unknown(job, TFJOB) == []
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert job["spec"]["tfReplicaSpecs"]["PS"]["template"]["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "4", "memory": "16Gi"},
    }
    assert unknown({**job, "extra": 1}, TFJOB) == [".extra is unknown"]  # The check itself can fail.


def test_every_replica_can_be_started_by_the_operator() -> None:
    replicas = tfjob("criteo", COMMAND, ClusterOptions(ps=3, workers=4), ManifestOptions())["spec"]["tfReplicaSpecs"]
    assert {role: one["replicas"] for role, one in replicas.items()} == {
        "Chief": 1,
        "Worker": 3,
        "PS": 3,
        "Evaluator": 1,
    }
    for one in replicas.values():
        (container,) = one["template"]["spec"]["containers"]
        assert container["name"] == "tensorflow"
        assert container["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
        assert container["command"] == COMMAND
        assert container["image"]
        assert one["restartPolicy"] == "OnFailure"
        (volume,) = one["template"]["spec"]["volumes"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/artifacts"}]


def test_a_role_without_tasks_is_left_out() -> None:
    options = ClusterOptions(ps=1, workers=1, evaluator=False)
    assert list(tfjob("x", COMMAND, options, ManifestOptions())["spec"]["tfReplicaSpecs"]) == ["Chief", "PS"]
    assert list(tf_configs("x", options, ManifestOptions())) == ["chief-0", "ps-0"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("criteo", "criteo"),
        ("My_Ads 2024", "my-ads-2024"),
        ("80k", "ctrkit-80k"),
        ("a" * 99, "a" * 47),
        ("_-_", "ctrkit"),
    ],
)
def test_any_name_becomes_one_that_the_operator_takes(name: str, expected: str) -> None:
    assert job_name(name) == expected
    assert len(f"{expected}-evaluator-00000") <= 63


def test_each_plain_tf_config_is_read_back_as_its_task() -> None:
    import json

    found = tf_configs("My Ads", ClusterOptions(ps=2, workers=3), ManifestOptions(namespace="ads"))
    assert list(found) == ["chief-0", "worker-0", "worker-1", "ps-0", "ps-1", "evaluator-0"]
    for name, content in found.items():
        task = Task.from_environment({"TF_CONFIG": json.dumps(content)})
        assert task is not None
        assert (task.name, task.ps, task.workers) == (name, 2, 3)
    assert found["ps-1"]["cluster"]["worker"] == ["my-ads-worker-0.ads.svc:2222", "my-ads-worker-1.ads.svc:2222"]


def test_hosts_can_be_listed() -> None:
    hosts = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1", "d:1"]}
    found = tf_configs("x", ClusterOptions(), ManifestOptions(hosts=hosts))
    assert found["evaluator-0"]["cluster"] == hosts


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("{role}-{number}:1", r"cannot fill in 'number'\. It may name \{name\}, \{role\}, \{index\}, \{namespace\}"),
        ("{role}:1", r"gives 'ps:1' to several tasks\. Put \{role\} and \{index\} into the pattern"),
        (
            {"chief": ["a:1"]},
            r"has \[\] for worker, expected 1 of host:port, e\.g\. manifest\.hosts\.worker=\[worker0:2222\]",
        ),
        ({"chief": ["a"], "worker": ["b:1"], "ps": ["c:1", "d:1"]}, r"has \['a'\] for chief"),
    ],
)
def test_hosts_that_do_not_fit_are_refused(hosts: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tf_configs("x", ClusterOptions(), ManifestOptions(hosts=hosts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": ""}, r"manifest\.image is '', expected a name, e\.g\. registry\.example\.org/ctrkit:1"),
        ({"mount": "artifacts"}, r"expected an absolute path"),
        ({"restart_policy": "onfailure"}, r"Did you mean 'OnFailure'\?"),
        ({"resources": {"pss": {}}}, r"no role 'pss'\. Did you mean 'ps'\?"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ManifestOptions(**options)
