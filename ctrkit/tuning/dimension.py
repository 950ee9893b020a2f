"""The values that one key of a search may take: a choice among given ones, or a range of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean

DIGITS = 4  # Significant ones of a real number: no more makes a difference, and a person can read them.
KINDS = ("choice", "int", "float")
WAYS = ("log", "step")
EXAMPLE = "e.g. {choice: [8, 16, 32]}, {int: [1, 4]} or {float: [0.001, 0.1], log: true}"


@dataclass(frozen=True)
class Choice:
    """One of some values of any kind that YAML knows. Raises `ConfigError` when there are none, or twice the same."""

    key: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError(f"Space {self.key}: the choice is empty, expected at least one value, {EXAMPLE}.")
        words = self.words
        twice = next((word for word in words if words.count(word) > 1), None)
        if twice is not None:
            raise ConfigError(f"Space {self.key}: {twice} is there twice, expected each value once.")

    @property
    def words(self) -> list[str]:
        """The values as JSON: keras-tuner takes no lists, mixes no types and makes integers of booleans."""
        return [json.dumps(value) for value in self.values]

    @property
    def extremes(self) -> list[Any]:
        """What to try out before a search: all of them."""
        return list(self.values)

    def decode(self, word: str) -> Any:
        """The value that a word of `words` stands for."""
        return json.loads(word)

    def encode(self, value: Any) -> str | None:
        """The word of `value`; None when it is not among the values."""
        return next((word for word, known in zip(self.words, self.values, strict=True) if known == value), None)

    def position(self, value: Any) -> float:
        """Where `value` lies in `[0, 1]`, for a drawing."""
        return self.values.index(value) / max(len(self.values) - 1, 1)

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included. Raises `ConfigError` on bounds that cannot be."""

    key: str
    low: float
    high: float
    is_whole: bool
    log: bool = False
    step: float | None = None  # Between two values; with `log` the ratio of two.

    def __post_init__(self) -> None:
        word = f"{'int' if self.is_whole else 'float'}: [{self.low:g}, {self.high:g}]"
        if self.is_whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ConfigError(f"Space {self.key}: got {word}, expected whole numbers. Type float: for real ones.")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"Space {self.key}: got {word}, expected a lower and then a higher bound.")
        if self.log and self.low <= 0:
            raise ConfigError(
                f"Space {self.key}: got {word} with log: true, expected a lower bound above 0, e.g. "
                f"[{self.high / 100:g}, {self.high:g}]."
            )
        least = 1 if self.log else 0
        if self.step is not None and not (self.step > least and (not self.is_whole or float(self.step).is_integer())):
            raise ConfigError(
                f"Space {self.key}: step is {self.step!r}, expected a {'whole ' if self.is_whole else ''}number above "
                f"{least}."
            )

    @property
    def extremes(self) -> list[Any]:
        """What to try out before a search: both ends."""
        return [self.decode(self.low), self.decode(self.high)]

    def decode(self, value: float) -> float | int:
        """The number to use: whole, or of a few digits and within the bounds."""
        if self.is_whole:
            return round(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def encode(self, value: Any) -> float | None:
        """`value` itself; None when it is no number between the bounds."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return None
        if self.step is not None:
            steps = math.log(value / self.low, self.step) if self.log else (value - self.low) / self.step
            if abs(steps - round(steps)) > 1e-6:
                return None
        if self.is_whole:
            return int(value) if float(value).is_integer() else None
        return float(value)

    def position(self, value: float) -> float:
        """Where `value` lies in `[0, 1]`, for a drawing."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def __str__(self) -> str:
        way = ", log" if self.log else ""
        return f"{self.low:g} to {self.high:g}{way}" + (f", step {self.step:g}" if self.step is not None else "")


Dimension = Choice | Range


def parse_dimension(key: str, spec: Any) -> Dimension:
    """Read one entry of a space: `{choice: […]}` or a plain list, `{int: [low, high]}`, `{float: [low, high]}`.

    Raises `ConfigError` with what was got, what is expected and what to type.
    """
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        spec = {"choice": spec}
    if not isinstance(spec, Mapping):
        raise ConfigError(f"Space {key}: got {spec!r}, expected its values, {EXAMPLE}.")
    kinds = [kind for kind in KINDS if kind in spec]
    unknown = [str(word) for word in spec if word not in (*KINDS, *WAYS)]
    if unknown:
        raise ConfigError(f"Space {key}: unknown word {unknown[0]!r}.{did_you_mean(unknown[0], (*KINDS, *WAYS))}")
    if len(kinds) != 1:
        raise ConfigError(f"Space {key}: got {dict(spec)}, expected one of choice, int and float, {EXAMPLE}.")
    (kind,) = kinds
    if kind == "choice":
        return _choice(key, spec)
    bounds = spec[kind]
    are_numbers = isinstance(bounds, Sequence) and all(
        isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in bounds
    )
    if not are_numbers or len(bounds) != 2:
        raise ConfigError(
            f"Space {key}: got {kind}: {bounds!r}, expected the lower and the upper bound, e.g. {kind}: [1, 8]."
        )
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"Space {key}: log is {log!r}, expected true or false.")
    low, high = (float(bound) for bound in bounds)
    step = spec.get("step")
    if step is not None and (isinstance(step, bool) or not isinstance(step, (int, float))):
        raise ConfigError(f"Space {key}: step is {step!r}, expected a number.")
    return Range(key, low, high, is_whole=kind == "int", log=log, step=step)


def _choice(key: str, spec: Mapping[str, Any]) -> Choice:
    values = spec["choice"]
    extra = [way for way in WAYS if way in spec]
    if extra:
        raise ConfigError(f"Space {key}: {extra[0]} goes with int and float, not with choice. Leave it out.")
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ConfigError(f"Space {key}: got choice: {values!r}, expected a list, {EXAMPLE}.")
    return Choice(key, tuple(values))
