"""What a team deploys: settings and manifests of the real TensorFlow Serving; and what decides on XLA."""

from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions
from ctrkit.serving.deployment.write import deployment_files, write_deployment

__all__ = ["DeployedModel", "DeploymentOptions", "deployment_files", "write_deployment"]
