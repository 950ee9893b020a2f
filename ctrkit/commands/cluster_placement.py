"""`ctrkit cluster placement`: what each parameter server would hold and move, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.instantiating import make
from ctrkit.commands.prepare import prepare_log
from ctrkit.commands.train import build
from ctrkit.commands.workspace import hint, save_figure, work_dir

if TYPE_CHECKING:
    from ctrkit.records import Prepared
    from ctrkit.training import TrainingOptions
    from ctrkit.training.cluster import Item, Plan

STRATEGIES = ("round_robin", "greedy", "balanced")  # The proposed one last.


def run(config: DictConfig) -> None:
    """Print and draw the placements, and say what to do next."""
    options = make(config.cluster)
    prepared = prepare_log(config)
    training = make(config.training)
    rows = options.ticket_rows(training.batch_size, options.workers)
    items = model_items(config, prepared, training, rows=rows)
    plans = compare(items, options.ps)
    name = str(config.model.get("_target_", "model")).replace(":", ".").rsplit(".", 1)[-1]
    describe(name, items, plans)
    figure = work_dir(config) / "cluster" / "placement.png"
    draw(plans, figure, name=name)
    say(f"  plot in {figure}")
    say(f"next: ctrkit cluster train {hint(config)} cluster.ps={options.ps}")


def model_items(config: DictConfig, prepared: Prepared, training: TrainingOptions, *, rows: int) -> list[Item]:
    """The configured model's variables; see `items_to_place`. Nothing is allocated."""
    from ctrkit.training.cluster import weight_shapes
    from ctrkit.training.cluster.placement.planned import items_to_place

    weights = weight_shapes(lambda: build(config, prepared))
    return items_to_place(weights, prepared.index, batch_size=rows, options=training)


def compare(items: list[Item], ps: int) -> list[Plan]:
    """The placement by each strategy, ours last."""
    from ctrkit.training.cluster import plan

    return [plan(items, ps, strategy) for strategy in STRATEGIES]


def describe(name: str, items: list[Item], plans: list[Plan]) -> None:
    """Print the plans beside each other and what ours splits."""
    from ctrkit.training.cluster import comparison, split_variables
    from ctrkit.training.cluster.placement.table import size

    held, moved = sum(item.bytes for item in items), sum(item.traffic for item in items)
    say(f"{name}: {len(items)} variables, {size(held)} with optimizer slots; a step of one worker moves {size(moved)}")
    say(comparison(plans))
    for line in split_variables(plans[-1]) or ["no variable"]:
        say(f"  balanced splits {line}")


def draw(plans: list[Plan], path: Path, *, name: str) -> None:
    """Save the figure, whole or not at all."""
    from ctrkit.analysis import placement_figure
    from ctrkit.training.cluster.placement.table import NAMES

    loads = {NAMES[one.strategy]: (one.bytes, one.traffic) for one in plans}
    save_figure(placement_figure(loads, name=name), path)
