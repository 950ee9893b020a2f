"""How much memory a server needs: more than one version, for the new one is loaded before the old one goes."""

from __future__ import annotations

import math

from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions

SERVER_MB = 512  # The binary, its arenas and the requests under way.
COMPILED_MB = 256  # More for XLA's compiler and code.
SPARE = 1.25  # Heaps do not fill up evenly.
STEP_MB = 256


def memory_of(model: DeployedModel, options: DeploymentOptions) -> str:
    """A quantity of Kubernetes, e.g. `1280Mi`; the one that was asked for, if any."""
    if options.memory is not None:
        return options.memory
    tables = options.versions_at_once * model.parameters * 4 / 2**20 * SPARE
    total = SERVER_MB + (COMPILED_MB if model.compiled else 0) + tables
    return f"{math.ceil(total / STEP_MB) * STEP_MB}Mi"
