"""Plan which parameter server holds which variable, and check that it is so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ctrkit.errors import ConfigError, TrainingError, did_you_mean
from ctrkit.training.cluster.placement.shard import Item, Shard
from ctrkit.training.cluster.placement.strategies import STRATEGIES

NAMED = 3  # Variables that an error names.


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every variable, whole or in parts, and the parameter server that holds it."""

    ps: int  # Parameter servers.
    strategy: str
    shards: tuple[Shard, ...]  # In order of creation, the parts of a variable one after another.
    tasks: tuple[int, ...]  # The server of each shard, in [0, ps).

    def task_of(self, name: str, part: int = 0) -> int:
        """The server of a variable, or of one of its parts.

        Raises `ConfigError` when the plan has no such variable or part.
        """
        name = name.removesuffix(":0")
        found = self._by_name.get((name, part))
        if found is None:
            known = {shard.item.name for shard in self.shards}
            if name in known:
                parts = next(shard.parts for shard in self.shards if shard.item.name == name)
                raise ConfigError(f"Placement: {name!r} has {parts} part(s), got number {part}, counted from 0.")
            raise ConfigError(f"Placement: no variable {name!r} in the plan.{did_you_mean(name, known)}")
        return found

    @cached_property
    def _by_name(self) -> dict[tuple[str, int], int]:
        return {(s.item.name, s.part): task for s, task in zip(self.shards, self.tasks, strict=True)}

    @cached_property
    def variables(self) -> dict[str, int]:
        """The server of each variable of the graph that trains, by its name."""
        return {shard.name: task for shard, task in zip(self.shards, self.tasks, strict=True)}

    @cached_property
    def parts(self) -> dict[int, int]:
        """Weight (place in `model.weights`) -> number of parts, for those that are split."""
        return {shard.item.weight: shard.parts for shard in self.shards if shard.parts > 1}

    @cached_property
    def bytes(self) -> np.ndarray:
        """`float64 [ps]`: bytes on each server, with optimizer slots."""
        return np.bincount(self.tasks, [shard.bytes for shard in self.shards], minlength=self.ps)

    @cached_property
    def traffic(self) -> np.ndarray:
        """`float64 [ps]`: bytes that each server sends and takes, per step and worker."""
        return np.bincount(self.tasks, [shard.traffic for shard in self.shards], minlength=self.ps)

    @property
    def imbalance_bytes(self) -> float:
        """Largest over mean of the servers' bytes; 1 is perfect."""
        return _largest_over_mean(self.bytes)

    @property
    def imbalance_traffic(self) -> float:
        """Largest over mean of the servers' traffic; 1 is perfect."""
        return _largest_over_mean(self.traffic)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` of it is equal to `self`."""
        return {
            "ps": self.ps,
            "strategy": self.strategy,
            "shards": [
                {
                    **{name: getattr(shard.item, name) for name in _ITEM_FIELDS},
                    "part": shard.part,
                    "parts": shard.parts,
                    "part_bytes": shard.bytes,
                    "part_traffic": shard.traffic,
                    "task": task,
                }
                for shard, task in zip(self.shards, self.tasks, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> Plan:
        """Read what `to_dict` wrote. Raises `ConfigError` when it is something else."""
        try:
            shards = [
                Shard(
                    item=Item(**{name: one[name] for name in _ITEM_FIELDS}),
                    part=one["part"],
                    parts=one["parts"],
                    bytes=one["part_bytes"],
                    traffic=one["part_traffic"],
                )
                for one in plan["shards"]
            ]
            tasks = tuple(int(one["task"]) for one in plan["shards"])
            return cls(ps=plan["ps"], strategy=plan["strategy"], shards=tuple(shards), tasks=tasks)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"Placement: not a plan: {error!r}. Make it with `plan(items, ps)`.") from error

    def table(self) -> str:
        """Bytes and traffic per server as text."""
        from ctrkit.training.cluster.placement.table import comparison

        return comparison([self])


_ITEM_FIELDS = ("name", "weight", "rows", "row_bytes", "traffic", "slots", "splittable")


def plan(items: Sequence[Item], ps: int, strategy: str = "balanced") -> Plan:
    """Decide which of `ps` parameter servers holds which variable.

    Args:
        items: the variables in order of creation; `items_of` makes them.
        ps: number of parameter servers.
        strategy: `balanced` (ours), `greedy` (the classic one of TensorFlow 1) or `round_robin`.
    Raises:
        ConfigError: no server, no variable, two of one name, or an unknown strategy.
    """
    if isinstance(ps, bool) or not isinstance(ps, int) or ps < 1:
        raise ConfigError(f"cluster.ps is {ps!r}, expected a whole number of at least 1, e.g. cluster.ps=2.")
    if strategy not in STRATEGIES:
        raise ConfigError(
            f"cluster.placement is {strategy!r}, which is no strategy.{did_you_mean(strategy, STRATEGIES)}"
        )
    if not items:
        raise ConfigError("Placement: the model has no variables, so there is nothing to put on a parameter server.")
    counts = Counter(item.name for item in items)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ConfigError(
            f"Placement: several variables are called {twice[0]!r}, so that one could be taken for another. Give the "
            "layers, or the weights in `add_weight(name=…)`, names of their own."
        )
    shards, tasks = STRATEGIES[strategy](items, ps)
    return Plan(ps=ps, strategy=strategy, shards=tuple(shards), tasks=tuple(tasks))


def check(plan: Plan, actual: Mapping[str, int]) -> None:
    """Compare where the variables of a graph lie with the plan.

    Args:
        plan: what was planned.
        actual: variable name (with or without `:0`) -> parameter server. Names that the plan does not know, such as
            optimizer slots and the global step, are passed over.
    Raises:
        TrainingError: naming the first variables that are absent or lie elsewhere.
    """
    found = {name.removesuffix(":0"): task for name, task in actual.items()}
    wrong = [
        f"{name!r} is {'nowhere' if name not in found else f'on ps {found[name]}'}, planned on ps {task}"
        for name, task in plan.variables.items()
        if found.get(name) != task
    ]
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise TrainingError(
            f"The graph does not have the planned placement ({plan.strategy}, {plan.ps} parameter servers): "
            f"{'; '.join(wrong[:NAMED])}{more}. Start all tasks with the same configuration and index "
            "(`ctrkit cluster placement` tells the plan), and take any `tf.device` out of layers of your own: it "
            "overrides the plan."
        )


def _largest_over_mean(loads: np.ndarray) -> float:
    mean = float(loads.mean())
    return float(loads.max()) / mean if mean > 0 else 1.0
