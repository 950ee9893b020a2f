"""Training on parameter servers. Names are loaded on first use: placement needs no TensorFlow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrkit.training.cluster.manifest import ManifestOptions, tf_configs, tfjob
    from ctrkit.training.cluster.options import ClusterOptions
    from ctrkit.training.cluster.placement.items import WeightShape, items_of, slots_of
    from ctrkit.training.cluster.placement.model_shapes import describe_weights, weight_shapes
    from ctrkit.training.cluster.placement.plan import Plan, check, plan
    from ctrkit.training.cluster.placement.shard import Item, Shard
    from ctrkit.training.cluster.placement.table import comparison, split_variables

_HOMES = {
    "ClusterOptions": "options",
    "Item": "placement.shard",
    "ManifestOptions": "manifest",
    "Plan": "placement.plan",
    "Shard": "placement.shard",
    "WeightShape": "placement.items",
    "check": "placement.plan",
    "comparison": "placement.table",
    "describe_weights": "placement.model_shapes",
    "items_of": "placement.items",
    "plan": "placement.plan",
    "slots_of": "placement.items",
    "split_variables": "placement.table",
    "tf_configs": "manifest",
    "tfjob": "manifest",
    "weight_shapes": "placement.model_shapes",
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
