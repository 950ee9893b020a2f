"""Which versions of which models a server has loaded: the configuration, the policy, the switching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

if TYPE_CHECKING:
    from ctrkit.serving.models.attempts import Patience
    from ctrkit.serving.models.config import All, Latest, ModelConfig, ModelsConfig, Policy, Specific
    from ctrkit.serving.models.loading import VersionLoader
    from ctrkit.serving.models.served import ServedModels
    from ctrkit.serving.models.states import State, VersionState
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "config": ["All", "Latest", "ModelConfig", "ModelsConfig", "Policy", "Specific"],
            "loading": ["VersionLoader"],
            "attempts": ["Patience"],
            "served": ["ServedModels"],
            "states": ["State", "VersionState"],
        },
    )

__all__ = [
    "All",
    "Latest",
    "ModelConfig",
    "ModelsConfig",
    "Patience",
    "Policy",
    "ServedModels",
    "Specific",
    "State",
    "VersionLoader",
    "VersionState",
]
