"""Describe a training cluster to a scheduler: a Kubeflow `TFJob`, or one plain `TF_CONFIG` a task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.training.cluster.options import ClusterOptions

# Names that the training operator looks for: its port, and the container that gets TF_CONFIG.
PORT_NAME, PORT, CONTAINER = "tfjob-port", 2222, "tensorflow"
REPLICA_TYPES = {"chief": "Chief", "worker": "Worker", "ps": "PS", "evaluator": "Evaluator"}
RESTART_POLICIES = ("OnFailure", "ExitCode", "Always", "Never")
HOST_FIELDS = ("name", "role", "index", "namespace")
LONGEST_NAME = 63 - len("-evaluator-00000")  # The operator appends role and index, and the whole is a DNS label.
VOLUME = "artifacts"


@dataclass(frozen=True, kw_only=True)
class ManifestOptions:
    """What a scheduler has to know beyond the experiment.

    Raises `ConfigError` on a value that cannot be.
    """

    image: str = "ctrkit:latest"  # A container image in which `ctrkit train` runs.
    namespace: str = "default"
    claim: str = "ctrkit-artifacts"  # PersistentVolumeClaim that all tasks can write (ReadWriteMany).
    mount: str = "/artifacts"  # Where the claim is mounted; experiments lie in folders below it.
    # OnFailure: what is killed, crashes or ends untrained (exit status 75) starts again; what ends well, a parameter
    # server too, stays ended. Always would start parameter servers again after training. ExitCode takes 1 to 127 as
    # final: it ends the job on the 1 of a lost connection, and on the workers' 75 when the chief is moved elsewhere.
    restart_policy: str = "OnFailure"
    restarts: int = 100  # Of all tasks together, before the job counts as failed.
    deadline_seconds: int | None = None  # None: the job may take any time.
    keep_seconds: int = 86_400  # After its end the job and its logs are kept so long.
    resources: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # Role -> {cpu: 4, memory: 16Gi}; None is not asked for.
    # Of plain TF_CONFIGs, host:port: a pattern, or a list for each of chief, worker and ps. As the operator names them.
    hosts: str | Mapping[str, Sequence[str]] = "{name}-{role}-{index}.{namespace}.svc:2222"

    def __post_init__(self) -> None:
        for name in ("image", "namespace", "claim"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ConfigError(
                    f"manifest.{name} is {getattr(self, name)!r}, expected a name, e.g. {_EXAMPLES[name]}."
                )
        if not str(self.mount).startswith("/"):
            raise ConfigError(f"manifest.mount is {self.mount!r}, expected an absolute path, e.g. /artifacts.")
        if self.restart_policy not in RESTART_POLICIES:
            raise ConfigError(
                f"manifest.restart_policy is {self.restart_policy!r}."
                f"{did_you_mean(self.restart_policy, RESTART_POLICIES)}"
            )
        for role in self.resources:
            if role not in REPLICA_TYPES:
                raise ConfigError(f"manifest.resources: no role {role!r}.{did_you_mean(role, REPLICA_TYPES)}")
        named = {
            role: {kind: str(amount) for kind, amount in (wanted or {}).items() if amount is not None}
            for role, wanted in self.resources.items()
        }
        object.__setattr__(self, "resources", {role: wanted for role, wanted in named.items() if wanted})


_EXAMPLES = {"image": "registry.example.org/ctrkit:1", "namespace": "default", "claim": "ctrkit-artifacts"}


def roles_of(cluster: ClusterOptions) -> dict[str, int]:
    """Role -> number of tasks; the chief is one of `cluster.workers`."""
    counts = {"chief": 1, "worker": cluster.workers - 1, "ps": cluster.ps, "evaluator": int(cluster.evaluator)}
    return {role: count for role, count in counts.items() if count}


def tfjob(name: str, command: Sequence[str], cluster: ClusterOptions, options: ManifestOptions) -> dict[str, Any]:
    """Return a `TFJob` of the Kubeflow Training Operator, `kubeflow.org/v1`, as plain values for YAML.

    The operator sets `TF_CONFIG` in each task, all of which run the same command. No pod is removed when the chief has
    ended (`cleanPodPolicy: None`): tasks end by themselves, and the evaluator may still look at the last checkpoint.

    Args:
        name: of the job; what a DNS label cannot hold is replaced.
        command: of each task, e.g. `["ctrkit", "train", "experiment=criteo", "training=async_ps"]`.
        cluster: how many tasks of each role.
        options: image, volume, restarts.
    """
    policy: dict[str, Any] = {
        "cleanPodPolicy": "None",
        "backoffLimit": options.restarts,
        "ttlSecondsAfterFinished": options.keep_seconds,
    }
    if options.deadline_seconds is not None:
        policy["activeDeadlineSeconds"] = options.deadline_seconds
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": job_name(name), "namespace": options.namespace},
        "spec": {
            "runPolicy": policy,
            "tfReplicaSpecs": {
                REPLICA_TYPES[role]: {
                    "replicas": count,
                    "restartPolicy": options.restart_policy,
                    "template": {"spec": _pod(role, command, options)},
                }
                for role, count in roles_of(cluster).items()
            },
        },
    }


def tf_configs(name: str, cluster: ClusterOptions, options: ManifestOptions) -> dict[str, dict[str, Any]]:
    """Return task name (`worker-0`) -> the value of its `TF_CONFIG`; the evaluator is outside of the cluster.

    Raises `ConfigError` when the hosts do not fit the cluster.
    """
    counts = roles_of(cluster)
    inside = {
        role: _hosts(job_name(name), role, count, options) for role, count in counts.items() if role != "evaluator"
    }
    everyone = [host for hosts in inside.values() for host in hosts]
    if len(set(everyone)) != len(everyone):
        twice = next(host for host in everyone if everyone.count(host) > 1)
        raise ConfigError(
            f"manifest.hosts gives {twice!r} to several tasks. Put {{role}} and {{index}} into the pattern."
        )
    return {
        f"{role}-{index}": {"cluster": inside, "task": {"type": role, "index": index}}
        for role, count in counts.items()
        for index in range(count)
    }


def job_name(name: str) -> str:
    """`name` as the operator takes it: lower case letters, digits and '-', a letter first."""
    label = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    label = label if label[:1].isalpha() else f"ctrkit-{label}"
    return label[:LONGEST_NAME].strip("-")


def _pod(role: str, command: Sequence[str], options: ManifestOptions) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": options.image,
        "command": list(command),
        "workingDir": options.mount,
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
        "ports": [{"name": PORT_NAME, "containerPort": PORT}],
        "volumeMounts": [{"name": VOLUME, "mountPath": options.mount}],
    }
    if role in options.resources:
        wanted = options.resources[role]
        container["resources"] = {"requests": dict(wanted), "limits": dict(wanted)}
    volume = {"name": VOLUME, "persistentVolumeClaim": {"claimName": options.claim}}
    return {"containers": [container], "volumes": [volume]}


def _hosts(name: str, role: str, count: int, options: ManifestOptions) -> list[str]:
    if isinstance(options.hosts, str):
        try:
            return [
                options.hosts.format(name=name, role=role, index=index, namespace=options.namespace)
                for index in range(count)
            ]
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(
                f"manifest.hosts is {options.hosts!r}: cannot fill in {error}. It may name "
                f"{', '.join('{' + one + '}' for one in HOST_FIELDS)}."
            ) from error
    hosts = [str(host) for host in options.hosts.get(role, ())]
    if len(hosts) != count or any(not re.search(r":\d+\Z", host) for host in hosts):
        raise ConfigError(
            f"manifest.hosts has {hosts} for {role}, expected {count} of host:port, e.g. manifest.hosts.{role}="
            f"[{','.join(f'{role}{index}:2222' for index in range(min(count, 3)))}]."
        )
    return hosts
