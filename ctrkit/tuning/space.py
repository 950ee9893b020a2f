"""A search space: dotted keys of the configuration, each with the values it may take."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.training import TrainingOptions
from ctrkit.tuning.dimension import Dimension, parse_dimension
from ctrkit.tuning.options import AUTO

GROUPS = ("model", "training")  # Keys of other groups would change the records, or nothing that is learnt.
FREE = ("table_options", "dense_options")  # Of training: any argument of the optimizer.
# For the models of the zoo; a model gets those of its parameters that are named here.
AUTO_SPACE: dict[str, Any] = {
    "model.dim": {"choice": [4, 8, 16, 32]},
    "model.hidden": {"choice": [[32], [64, 32], [128, 64], [256, 256]]},
    "model.dropout": {"float": [0.0, 0.5]},
    "model.l2": {"float": [1e-6, 1e-2], "log": True},
    "training.table_learning_rate": {"float": [0.005, 0.3], "log": True},
    "training.dense_learning_rate": {"float": [1e-4, 1e-2], "log": True},
}


@dataclass(frozen=True)
class Space:
    """Dimensions by dotted key, in the order in which they were written."""

    dimensions: Mapping[str, Dimension]

    @classmethod
    def parse(cls, spec: Mapping[str, Any] | str | None, model: Callable[..., Any] | None = None) -> Space:
        """Read the mapping `tuning.space`; `auto` is what of `AUTO_SPACE` fits `model`, a key with null is left out.

        Raises `ConfigError` on anything that is no space, with the key named.
        """
        if isinstance(spec, str):
            if spec != AUTO:
                raise ConfigError(f"tuning.space is {spec!r}, expected {AUTO} or a mapping from keys to their values.")
            spec = auto_space(model)
        given = {str(key): value for key, value in (spec or {}).items() if value is not None}
        found = {key: parse_dimension(key, value) for key, value in given.items()}
        inside = {
            (outer, inner) for outer in found for inner in found if inner != outer and inner.startswith(f"{outer}.")
        }
        if inside:
            outer, inner = sorted(inside)[0]
            raise ConfigError(f"Space: {inner} lies within {outer}, expected one of the two. Leave one out.")
        return cls(found)

    def __len__(self) -> int:
        return len(self.dimensions)

    def check_keys(self, model: Callable[..., Any]) -> None:
        """Raise `ConfigError` for a key that neither `model` nor `TrainingOptions` takes, naming the nearest."""
        options = {field.name for field in dataclasses.fields(TrainingOptions)}
        taken, takes_any = parameters_of(model)
        for key in self.dimensions:
            group, _, rest = key.partition(".")
            name, _, inner = rest.partition(".")
            if group not in GROUPS or not name:
                raise ConfigError(
                    f"Space {key}: expected a key of model or training, e.g. model.dim or "
                    "training.table_learning_rate; anything else makes other records or other rows to compare on."
                )
            if group == "training" and name not in options:
                raise ConfigError(f"Space {key}: training has no {name!r}.{did_you_mean(name, options)}")
            if group == "training" and inner and name not in FREE:
                raise ConfigError(f"Space {key}: training.{name} is one value. Type {group}.{name} for the key.")
            if group == "model" and name not in (*taken, "_target_") and not takes_any:
                raise ConfigError(
                    f"Space {key}: the model {getattr(model, '__name__', model)!r} has no {name!r}."
                    f"{did_you_mean(name, taken)}"
                )

    def declare(self, hp: Any) -> None:
        """Tell keras-tuner's HyperParameters of every dimension."""
        for key, one in self.dimensions.items():
            if hasattr(one, "words"):
                hp.Choice(key, one.words, ordered=False)
                continue
            sampling = "log" if one.log else "linear"
            if one.is_whole:
                step = None if one.step is None else int(one.step)
                hp.Int(key, int(one.low), int(one.high), step=step, sampling=sampling)
            else:
                hp.Float(key, one.low, one.high, step=one.step, sampling=sampling)

    def decode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the configuration from those of keras-tuner; keys that are not of this space are left out."""
        return {key: one.decode(values[key]) for key, one in self.dimensions.items() if key in values}

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """keras-tuner's values from those of the configuration; None where one of them is not in the space."""
        encoded = {key: one.encode(values[key]) for key, one in self.dimensions.items() if key in values}
        complete = len(encoded) == len(self.dimensions) and all(value is not None for value in encoded.values())
        return encoded if complete else None

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """Keys of the space whose value among `values` does not lie in it."""
        return [k for k, one in self.dimensions.items() if k not in values or one.encode(values[k]) is None]


def auto_space(model: Callable[..., Any] | None) -> dict[str, Any]:
    """What of `AUTO_SPACE` the model takes."""
    taken = None if model is None else parameters_of(model)[0]
    return {
        key: spec
        for key, spec in AUTO_SPACE.items()
        if not key.startswith("model.") or taken is None or key.partition(".")[2] in taken
    }


def parameters_of(model: Callable[..., Any]) -> tuple[list[str], bool]:
    """Names that a model function takes beside the index, and whether it takes any other."""
    parameters = list(inspect.signature(model).parameters.values())[1:]
    named = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)
