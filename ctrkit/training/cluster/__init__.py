"""Training on parameter servers. Names are loaded on first use: placement needs no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

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

if TYPE_CHECKING:
    from ctrkit.training.cluster.manifest import ManifestOptions, tf_configs, tfjob
    from ctrkit.training.cluster.options import ClusterOptions
    from ctrkit.training.cluster.placement.items import WeightShape, items_of, slots_of
    from ctrkit.training.cluster.placement.model_shapes import describe_weights, weight_shapes
    from ctrkit.training.cluster.placement.plan import Plan, check, plan
    from ctrkit.training.cluster.placement.shard import Item, Shard
    from ctrkit.training.cluster.placement.table import comparison, split_variables
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "manifest": ["ManifestOptions", "tf_configs", "tfjob"],
            "options": ["ClusterOptions"],
            "placement.items": ["WeightShape", "items_of", "slots_of"],
            "placement.model_shapes": ["describe_weights", "weight_shapes"],
            "placement.plan": ["Plan", "check", "plan"],
            "placement.shard": ["Item", "Shard"],
            "placement.table": ["comparison", "split_variables"],
        },
    )
