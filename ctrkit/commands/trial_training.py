"""Train one trial of a search on the path of `ctrkit train`, and check beforehand that its values can be."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ctrkit.commands.card import update_card
from ctrkit.commands.instantiating import make
from ctrkit.commands.run_origin import note_origin
from ctrkit.commands.train import build, model_options, train_tracked
from ctrkit.commands.workspace import CONFIG_FILE, plain, run_config
from ctrkit.errors import ConfigError, CtrkitError
from ctrkit.progress import progress

if TYPE_CHECKING:
    from ctrkit.records import Prepared
    from ctrkit.tracking import Run
    from ctrkit.training import TrainingOptions, TrainingResult
    from ctrkit.tuning import Space
    from ctrkit.tuning.task import Extent, Task

_log = logging.getLogger(__name__)


class TrialTraining:
    """Trains trials of one search over the same records."""

    def __init__(self, config: DictConfig, prepared: Prepared) -> None:
        self.config, self.prepared = config, prepared

    def train(self, task: Task) -> TrainingResult:
        """Train with the trial's values."""
        config = with_values(self.config, task.trial.values, task.trial.hp)
        if task.max_steps is not None:
            own = config.training.max_steps
            config.training.max_steps = task.max_steps if own is None else min(task.max_steps, int(own))
        model = build(config, self.prepared)
        note_origin(config, task.run_dir, self.prepared)
        return train_tracked(config, model, self.prepared, task.run_dir, task.tracker, observer=task.observer)

    def train_again(
        self, values: Mapping[str, Any], hp: Mapping[str, Any], seed: int, run_dir: Path, tracker: Run
    ) -> TrainingResult:
        """Train the same values with another seed."""
        config = with_values(self.config, values, hp)
        config.seed = seed
        note_origin(config, run_dir, self.prepared)
        result = train_tracked(config, build(config, self.prepared), self.prepared, run_dir, tracker)
        write_trial_card(run_dir, tracker)
        return result

    def measure(self, values: Mapping[str, Any], hp: Mapping[str, Any]) -> Extent:
        """How long the training of these values is."""
        from ctrkit.training.fit import plan_of
        from ctrkit.tuning.task import Extent

        assert self.prepared.train is not None
        options: TrainingOptions = make(with_values(self.config, values, hp).training)
        plan = plan_of(self.prepared.train, options)
        return Extent(
            rows_per_step=options.batch_size,
            steps=plan.steps,
            evaluate_every=plan.evaluate_every,
            can_continue=options.learning_rate_decay is None,
        )

    def explore(self, hp: Any) -> object:
        """Build the model with an `hp`, so that it says what it wants searched."""
        from ctrkit.models import build_model

        target, options = model_options(self.config, self.prepared)
        options.pop("hp", None)
        return build_model(target, self.prepared.index, hp=hp, **options)

    def own_values(self, space: Space) -> dict[str, Any]:
        """What the experiment itself says for the keys of the space."""
        resolved = plain(self.config)
        found = {key: _select(resolved, key) for key in space.dimensions}
        return {key: value for key, value in found.items() if value is not _ABSENT}

    def check(self, space: Space) -> None:
        """Try each end of each range, and each choice, beside the experiment's own values.

        Raises `ConfigError` naming the key and what refused its value.
        """
        import tensorflow as tf

        from ctrkit.optimizers import build_optimizer

        tries = [(key, value) for key, one in space.dimensions.items() for value in one.extremes]
        with progress("checking the space", total=len(tries), unit="values") as shown:
            for key, value in tries:
                config = with_values(self.config, {key: value}, {})
                try:
                    options: TrainingOptions = make(config.training)
                    if key.startswith("model."):
                        build(config, self.prepared)
                    else:
                        build_optimizer(
                            options.table_optimizer,
                            options.table_learning_rate,
                            options.dense_optimizer,
                            options.dense_learning_rate,
                            table_options=dict(options.table_options),
                            dense_options=dict(options.dense_options),
                        )
                except (CtrkitError, TypeError, ValueError) as error:
                    raise ConfigError(f"Space {key}: {value!r} cannot be: {error}") from error
                tf.keras.backend.clear_session()
                shown.advance(1)


def write_trial_card(run_dir: Path, tracker: Run) -> None:
    """Write a trial's card; a trial that failed before it wrote its configuration has none. Never fails a search."""
    if not (run_dir / CONFIG_FILE).is_file():
        return
    try:
        update_card(run_config(run_dir), run_dir, tracker)
    except (CtrkitError, OSError, ValueError) as error:
        _log.warning("Trial %s has no card: %s", run_dir.name, error)


_ABSENT = object()


def _select(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return _ABSENT
        tree = tree[part]
    return tree


def with_values(config: DictConfig, values: Mapping[str, Any], hp: Mapping[str, Any]) -> DictConfig:
    """A copy of the configuration with a trial's values in it."""
    changed = copy.deepcopy(config)
    OmegaConf.set_struct(changed, False)
    for key, value in values.items():
        OmegaConf.update(changed, key, value, merge=False, force_add=True)
    if hp:
        OmegaConf.update(changed, "model.hp", dict(hp), merge=False, force_add=True)
    return changed
