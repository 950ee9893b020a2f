"""Write all files of a deployment, leaving those that somebody changed by hand."""

from __future__ import annotations

import os
from pathlib import Path

from ctrkit.atomic import atomic_file
from ctrkit.errors import ArtifactError
from ctrkit.serving.deployment import paths
from ctrkit.serving.deployment.compose import compose
from ctrkit.serving.deployment.kubernetes import kubernetes
from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions
from ctrkit.serving.deployment.texts import batching_config, models_config, monitoring_config, ssl_config

COMPOSE_FILE, KUBERNETES_FILE = "docker-compose.yml", "kubernetes.yaml"
_SECRET_MODE = 0o600


def deployment_files(model: DeployedModel, options: DeploymentOptions, *, exports: Path) -> dict[str, str]:
    """Name -> text of every file; `exports` is the run's folder of versions."""
    texts = {
        paths.MODELS_FILE: models_config(model, options),
        paths.BATCHING_FILE: batching_config(model, options),
        paths.MONITORING_FILE: monitoring_config(options),
    }
    files = {
        **texts,
        COMPOSE_FILE: compose(model, options, exports=exports),
        KUBERNETES_FILE: kubernetes(model, options, texts=texts),
    }
    return files if options.tls is None else {**files, paths.SSL_FILE: ssl_config(options.tls)}


def write_deployment(
    directory: str | os.PathLike[str],
    model: DeployedModel,
    options: DeploymentOptions,
    *,
    exports: str | os.PathLike[str],
    force: bool = False,
) -> list[Path]:
    """Write the files into `directory`, each whole or not at all; returns their paths.

    Args:
        exports: the run's folder of versions, for docker compose.
        force: replace files that differ from what would be written.
    Raises:
        ArtifactError: a file is there and differs; none was written.
        ConfigError: the files of `options.tls` cannot be used.
    """
    directory = Path(directory)
    files = deployment_files(model, options, exports=Path(exports).absolute())
    differing = [name for name, text in files.items() if _differs(directory / name, text)]
    if differing and not force:
        raise ArtifactError(
            f"{directory} has {', '.join(differing)} already, with other contents than would be written now: changed "
            "by hand, or made by other options. Move them away, or type force=true to replace them."
        )
    for name, text in files.items():
        with atomic_file(directory / name) as temporary:
            temporary.touch(mode=_SECRET_MODE if name == paths.SSL_FILE else 0o644)
            temporary.write_text(text, encoding="utf-8")
    return [directory / name for name in files]


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8", errors="replace") != text
