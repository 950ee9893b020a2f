"""kubernetes.yaml: ConfigMap, Deployment and Service of one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ctrkit.serving.deployment import paths
from ctrkit.serving.deployment.annotated import annotated
from ctrkit.serving.deployment.flags import SERVER, environment_of, flags_of
from ctrkit.serving.deployment.memory import memory_of
from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions

LOADING_SECONDS = 600  # A replica may take so long to load and warm before it is given up.
LAST_REQUEST_SECONDS = 5  # After the drain, for what is still under way.


def kubernetes(model: DeployedModel, options: DeploymentOptions, *, texts: Mapping[str, str]) -> str:
    """The file's text; `texts` are the configuration files by name, which the ConfigMap carries."""
    flags, environment = flags_of(model, options), environment_of(options)
    labels = {"app.kubernetes.io/name": model.resource, "app.kubernetes.io/component": "serving"}
    metadata = {"name": model.resource, "namespace": options.namespace, "labels": labels}
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "name": f"{model.resource}-config"},
        "data": dict(texts),
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": options.replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": _scraped(options)},
                "spec": _pod(model, options, [setting.flag for setting in flags], environment),
            },
        },
    }
    ports = [{"name": "grpc", "port": options.grpc_port, "targetPort": "grpc", "appProtocol": "grpc"}]
    if options.tls is None:
        ports.append({"name": "rest", "port": options.rest_port, "targetPort": "rest", "appProtocol": "http"})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": "None", "selector": labels, "ports": ports},
    }
    return annotated([settings, deployment, service], [*flags, *environment], _head(model, options))


def _pod(model: DeployedModel, options: DeploymentOptions, flags: list[str], environment: list[Any]) -> dict[str, Any]:
    alive = {"path": f"/v1/models/{quote(model.name)}", "port": "rest"}
    memory = memory_of(model, options)
    resources: dict[str, Any] = {
        "requests": {"cpu": str(options.cpu), "memory": memory},
        "limits": {"memory": memory, **({} if options.cpu_limit is None else {"cpu": str(options.cpu_limit)})},
    }
    container = {
        "name": "serving",
        "image": f"{options.image}:{options.tag}",
        "command": [SERVER],
        "args": flags,
        "env": [{"name": setting.name, "value": setting.value} for setting in environment],
        "ports": [
            {"name": "grpc", "containerPort": options.grpc_port},
            {"name": "rest", "containerPort": options.rest_port},
        ],
        "resources": resources,
        "startupProbe": {"httpGet": alive, "periodSeconds": 2, "failureThreshold": LOADING_SECONDS // 2},
        "readinessProbe": {"httpGet": alive, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(options.drain_seconds)]}}},
        "volumeMounts": [{"name": "config", "mountPath": paths.CONFIG, "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    volumes: list[dict[str, Any]] = [{"name": "config", "configMap": {"name": f"{model.resource}-config"}}]
    if not options.is_url:
        container["volumeMounts"].append({"name": "models", "mountPath": paths.MODELS, "readOnly": True})  # type: ignore[attr-defined]
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": options.claim, "readOnly": True}})
    if options.tls is not None:
        container["volumeMounts"].append({"name": "tls", "mountPath": paths.TLS, "readOnly": True})  # type: ignore[attr-defined]
        volumes.append({"name": "tls", "secret": {"secretName": f"{model.resource}-tls"}})
    return {
        "terminationGracePeriodSeconds": options.drain_seconds + LAST_REQUEST_SECONDS,
        "containers": [container],
        "volumes": volumes,
    }


def _scraped(options: DeploymentOptions) -> dict[str, str]:
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(options.rest_port),
        "prometheus.io/path": options.metrics_path,
    }


def _head(model: DeployedModel, options: DeploymentOptions) -> list[str]:
    lines = [f"Serve {model.name} with the real TensorFlow Serving: kubectl apply -f kubernetes.yaml"]
    if options.is_url:
        lines.append(f"Models are read from {options.store}: the pods' service account must be allowed to.")
    else:
        lines.append(
            f"The claim {options.claim} holds {model.name}/VERSION/saved_model.pb; a new version that is copied there "
            "under another name first, then renamed, is never seen half."
        )
    lines += [
        "Ports open once the first version is loaded and warm, so a replica that answers /v1/models is ready.",
        "The server ignores SIGTERM: preStop keeps it answering while it leaves the Service, then it is killed.",
        f"The memory holds {options.versions_at_once} versions, for a new one is loaded before an old one goes.",
        "No limit on CPU unless asked for: throttling would stop a request for up to 0.1 s.",
        "The Service has no address of its own (clusterIP: None): clients see every replica and balance requests "
        "(dns:///, round_robin), where one address would balance connections alone.",
    ]
    if options.tls is not None:
        lines.append(
            f"TLS: kubectl -n {options.namespace} create secret generic {model.resource}-tls "
            f"--from-file={paths.SSL_FILE}; the REST port is plain, so it is left out of the Service."
        )
    return lines
