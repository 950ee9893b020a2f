"""docker-compose.yml: one server on this machine, the same flags as in Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ctrkit.serving.deployment import paths
from ctrkit.serving.deployment.annotated import annotated
from ctrkit.serving.deployment.flags import SERVER, environment_of, flags_of
from ctrkit.serving.deployment.memory import memory_of
from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions


def compose(model: DeployedModel, options: DeploymentOptions, *, exports: Path) -> str:
    """The file's text; `exports` is the run's folder of versions, mounted unless the options name a store."""
    flags, environment = flags_of(model, options), environment_of(options)
    ready = f"exec 3<>/dev/tcp/127.0.0.1/{options.rest_port}"  # The image has bash, but no curl.
    service: dict[str, Any] = {
        "image": f"{options.image}:{options.tag}",
        "entrypoint": [SERVER],
        "command": [setting.flag for setting in flags],
        "environment": {setting.name: setting.value for setting in environment},
        "ports": [f"127.0.0.1:{port}:{port}" for port in (options.grpc_port, options.rest_port)],
        "volumes": _volumes(model, options, exports),
        "mem_limit": memory_of(model, options).replace("Mi", "m").replace("Gi", "g"),
        "stop_grace_period": f"{options.drain_seconds}s",
        "healthcheck": {
            "test": ["CMD", "bash", "-c", ready],
            "interval": "5s",
            "timeout": "2s",
            "start_period": "60s",
        },
        "restart": "unless-stopped",
    }
    if options.cpu_limit is not None:
        service["cpus"] = options.cpu_limit
    head = [
        f"Serve {model.name} with the real TensorFlow Serving: docker compose up -d",
        "Ports are open on this machine alone; both open once the first version is loaded and warm.",
        "The server ignores SIGTERM, so `docker compose stop` lets it answer for stop_grace_period, then kills it.",
        "Do not set `init: true`: the signal would then end it in the middle of a request.",
    ]
    return annotated([{"services": {"serving": service}}], [*flags, *environment], head)


def _volumes(model: DeployedModel, options: DeploymentOptions, exports: Path) -> list[str]:
    found = [f".:{paths.CONFIG}:ro"]
    if options.store is None:
        found.append(f"{exports}:{paths.MODELS}/{model.name}:ro")
    elif not options.is_url:
        found.append(f"{Path(options.store).absolute()}:{paths.MODELS}:ro")
    if options.tls is not None:
        found.append(f".:{paths.TLS}:ro")
    return found
