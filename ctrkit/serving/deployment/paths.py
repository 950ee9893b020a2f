"""Where things are inside of the container."""

from __future__ import annotations

from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions

MODELS = "/models"
CONFIG = "/etc/tensorflow-serving"  # A mounted folder: a file mounted by itself would never show its new version.
TLS = "/etc/tensorflow-serving-tls"

MODELS_FILE, BATCHING_FILE, MONITORING_FILE = "models.config", "batching.config", "monitoring.config"
SSL_FILE = "ssl.config"


def base_path(model: DeployedModel, options: DeploymentOptions) -> str:
    """The model's folder of versions, as models.config names it."""
    store = options.store.rstrip("/") if options.store is not None and options.is_url else MODELS
    return f"{store}/{model.name}"
