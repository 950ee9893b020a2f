"""Training on parameter servers. Names are loaded on first use: placement needs no TensorFlow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrkit.training.cluster.items import WeightShape, items_of, slots_of
    from ctrkit.training.cluster.manifest import ManifestOptions, tf_configs, tfjob
    from ctrkit.training.cluster.model_shapes import describe_weights, weight_shapes
    from ctrkit.training.cluster.options import ClusterOptions
    from ctrkit.training.cluster.placement import Plan, check, plan
    from ctrkit.training.cluster.placement_table import comparison, split_variables
    from ctrkit.training.cluster.shard import Item, Shard

_HOMES = {
    "ClusterOptions": "options",
    "Item": "shard",
    "ManifestOptions": "manifest",
    "Plan": "placement",
    "Shard": "shard",
    "WeightShape": "items",
    "check": "placement",
    "comparison": "placement_table",
    "describe_weights": "model_shapes",
    "items_of": "items",
    "plan": "placement",
    "slots_of": "items",
    "split_variables": "placement_table",
    "tf_configs": "manifest",
    "tfjob": "manifest",
    "weight_shapes": "model_shapes",
}

__all__ = [
    "ClusterOptions",
    "Item",
    "ManifestOptions",
    "Plan",
    "Shard",
    "WeightShape",
    "check",
    "comparison",
    "describe_weights",
    "items_of",
    "plan",
    "slots_of",
    "split_variables",
    "tf_configs",
    "tfjob",
    "weight_shapes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
