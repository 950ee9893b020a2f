"""Which versions of which models a server has loaded: the configuration, the policy, the switching."""

from ctrkit.serving.models.config import All, Latest, ModelConfig, ModelsConfig, Policy, Specific
from ctrkit.serving.models.loading import VersionLoader
from ctrkit.serving.models.served import ServedModels
from ctrkit.serving.models.states import State, VersionState

__all__ = [
    "All",
    "Latest",
    "ModelConfig",
    "ModelsConfig",
    "Policy",
    "ServedModels",
    "Specific",
    "State",
    "VersionLoader",
    "VersionState",
]
